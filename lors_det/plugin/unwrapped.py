"""The model inside of what processes wrap around it, and the sets inside of what repeats or joins them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.model import is_model_wrapper


def unwrapped(model: Any) -> Any:
    """The model itself, of one that is wrapped, as for several processes, or not."""
    while is_model_wrapper(model):
        model = model.module
    return model


def datasets_in(dataset: Any) -> Iterator[BaseDataset]:
    """A dataset, or all that a wrapper such as ConcatDataset or RepeatDataset holds."""
    inner = getattr(dataset, "datasets", None) or ([dataset.dataset] if hasattr(dataset, "dataset") else [])
    for each in inner:
        yield from datasets_in(each)
    if not inner:
        yield dataset
