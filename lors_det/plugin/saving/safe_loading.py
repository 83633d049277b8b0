"""Checkpoints are read as plain data: no code in a file is run, but of files that a user trusts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from lors_det.errors import InputError
from lors_det.named_files import resolve_checkpoint_path
from lors_det.plugin.saving.weights_file import is_weights_file, read_weights

_BEGINNINGS = (b"PK", b"\x80")
"""Of files of torch: an archive, or, before version 1.6, pickles."""
_OTHERS = {
    ".onnx": "; it is an exported model, which infer takes, with --json and --annotations for an evaluation",
    ".py": "; it is a config, which comes before the checkpoint",
}
"""What may be given in place of a checkpoint, by its suffix, in words."""
_trusted: dict[str, tuple[int, ...]] = {}
"""Files and addresses that a user trusts, and which file each was then."""


def register() -> None:
    """Make mmengine load local checkpoints as plain data, on every torch: no code in a file is run."""
    CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)


def trust(path: str | Path) -> None:
    """From now on, this process may run code that a file holds, as its user asked for: a path, or a file's address.

    Another file that takes its place is not trusted.
    """
    _trusted[_place(path)] = _identity(path)


def is_trusted(path: str | Path) -> bool:
    """Whether :func:`trust` has named the file, by this path or another, and it is the same since."""
    return _trusted.get(_place(path)) == _identity(path)


def _identity(path: str | Path) -> tuple[int, ...]:
    """What tells a file from another in its place; of an address, or where there is none, nothing."""
    try:
        found = Path(path).expanduser().stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _place(path: str | Path) -> str:
    return str(path) if "://" in str(path) else str(Path(path).expanduser().resolve())


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """The checkpoint in a file of torch or safetensors, read as plain data unless it is trusted, see :func:`trust`.

    Raises:
        InputError: if there is no such file, or it is damaged, no checkpoint, or more than plain data.
    """
    path = resolve_checkpoint_path(filename)
    if is_weights_file(path):
        return read_weights(path, map_location)
    with path.open("rb") as file:
        if not file.read(2).startswith(_BEGINNINGS):
            hint = _OTHERS.get(path.suffix.lower(), "; name what lors-det train or convert wrote, .pth or .safetensors")
            raise InputError(f"checkpoint {path} is no file that torch or safetensors wrote, or is damaged{hint}")
    trusted = is_trusted(path)
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=not trusted)
    except UnpicklingError as error:
        if trusted:
            raise InputError(f"checkpoint {path} is damaged, or no checkpoint: {error}") from error
        raise InputError(
            f"checkpoint {path} holds more than plain data, or is damaged, and is not loaded, because unpickling "
            f"it could run code: {str(error).splitlines()[0]} If you know where the file comes from and trust it, "
            "--trust-checkpoint loads it"
        ) from error
    except ImportError as error:
        raise InputError(
            f"checkpoint {path} holds objects of a module that is not installed ({error}); install what wrote it, and "
            'keep the weights alone: torch.save({"state_dict": torch.load(path, weights_only=False)["state_dict"]}, '
            "new_path)"
        ) from error
    except Exception as error:  # of a damaged file, torch raises whatever its bytes happen to mean
        raise InputError(
            f"checkpoint {path} cannot be read ({type(error).__name__}: {error}); it may be truncated or no checkpoint"
        ) from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"checkpoint {path} holds a {type(checkpoint).__name__}, not a dictionary of weights")
    _check_meta(checkpoint.get("meta"), path)
    return checkpoint


def _check_meta(meta: Any, path: Path) -> None:
    """What is read of the meta data, where there are any, is what mmengine writes there."""
    dataset = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    classes = dataset.get("classes") if isinstance(dataset, Mapping) else None
    for place, value, kinds in (
        ("meta", meta, Mapping),
        ("meta.dataset_meta", dataset, Mapping),
        ("meta.dataset_meta.classes", classes, (str, list, tuple)),
        ("meta.CLASSES", meta.get("CLASSES") if isinstance(meta, Mapping) else None, (str, list, tuple)),
    ):
        if value is not None and not isinstance(value, kinds):
            raise InputError(
                f"checkpoint {path} holds a {type(value).__name__} as {place}, which mmengine does not write; keep the "
                'weights alone: torch.save({"state_dict": torch.load(path)["state_dict"]}, new_path)'
            )
