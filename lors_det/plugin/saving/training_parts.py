"""Parts of a model that serve its training alone, and that a model for detection may lack."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping

from torch import Tensor

_BEGINNINGS = ("bbox_head.denoising.", "module.bbox_head.denoising.")


def drop_training_parts(weights: MutableMapping[str, Tensor], own: Collection[str] = ()) -> None:
    """Leave out what served a training alone, but what the model has, by name; changed in place."""
    for name in [name for name in weights if name.startswith(_BEGINNINGS) and name.removeprefix("module.") not in own]:
        del weights[name]
