"""The model inside of what processes wrap around it."""

from __future__ import annotations

from typing import Any

from mmengine.model import is_model_wrapper


def unwrapped(model: Any) -> Any:
    """The model itself, of one that is wrapped, as for several processes, or not."""
    while is_model_wrapper(model):
        model = model.module
    return model
