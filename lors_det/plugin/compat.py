"""What today's libraries need so that mmdet 3.x imports and loads checkpoints safely.

Each remedy is applied only where its obstacle is present: an installation with compiled mmcv keeps its own.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from lors_det.errors import InputError
from lors_det.plugin import mmcv_ops


def apply() -> None:
    """Apply every remedy. Calling it again changes nothing."""
    import_mmcv_ops()
    load_weights_only()


class _MissingOps(types.ModuleType):
    """Stands in for ``mmcv._ext`` while ``mmcv.ops`` is imported; its functions raise with the remedy."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> None:
            raise RuntimeError(
                f"mmcv.ops needs the compiled operation {name!r}, which mmcv-lite lacks; "
                "install the full mmcv (pip install mmcv) to use this model"
            )

        return missing


def import_mmcv_ops() -> None:
    """Import ``mmcv.ops`` where mmcv has no compiled operations, as mmcv-lite does not.

    mmdet imports all of ``mmcv.ops`` although its models use a few. The stand-in leaves ``sys.modules`` again, so
    that whoever asks for ``mmcv._ext`` later gets an honest answer.
    """
    name = "mmcv._ext"
    if "mmcv.ops" in sys.modules or importlib.util.find_spec(name) is not None:
        return
    stand_in = _MissingOps(name)
    stand_in.__spec__ = ModuleSpec(name, None)
    for operation in mmcv_ops.__all__:
        setattr(stand_in, operation, getattr(mmcv_ops, operation))
    sys.modules[name] = stand_in
    try:
        importlib.import_module("mmcv.ops")
    finally:
        del sys.modules[name]


def load_weights_only() -> None:
    """Make mmengine load local checkpoints as plain data, on every torch: no code in a file is run."""
    from mmengine.runner.checkpoint import CheckpointLoader

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
