"""Checkpoints are read as plain data: no code in a file is run."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from lors_det.errors import InputError


def register() -> None:
    """Make mmengine load local checkpoints as plain data, on every torch: no code in a file is run."""
    CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """The checkpoint in a file, read as plain data.

    Raises:
        InputError: if there is no such file, or it is damaged, no checkpoint, or more than plain data.
    """
    path = Path(filename).expanduser()
    if path.is_dir():
        files = sorted(path.glob("*.pth"), key=lambda file: file.stat().st_mtime)
        remedy = f"name the file, for example {files[-1]}" if files else "it holds no checkpoint file (*.pth)"
        raise InputError(f"checkpoint {path} is a folder; {remedy}")
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        raise InputError(
            f"checkpoint {path} holds more than plain data, or is damaged, and is not loaded, because unpickling "
            f"it could run code: {str(error).splitlines()[0]} Of a file that you trust, keep the weights alone: "
            'torch.save({"state_dict": torch.load(path, weights_only=False)["state_dict"]}, new_path)'
        ) from error
    except Exception as error:  # of a damaged file, torch raises whatever its bytes happen to mean
        raise InputError(
            f"checkpoint {path} cannot be read ({type(error).__name__}: {error}); it may be truncated or no checkpoint"
        ) from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"checkpoint {path} holds a {type(checkpoint).__name__}, not a dictionary of weights")
    return checkpoint
