"""What today's libraries need so that mmdet 3.x imports.

An installation with compiled mmcv keeps its own operations.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

from lors_det.plugin import mmcv_ops


def apply() -> None:
    """Apply every remedy. Calling it again changes nothing."""
    import_mmcv_ops()
    import_datasets()


def import_datasets() -> None:
    """Import mmdet's data sets without what some editions print then: standard output is that of a command's result."""
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module("mmdet.datasets")


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
