"""Values as ``torch.load(..., weights_only=True)`` reads them, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_HISTORY = "lors_det.history"
_AS_THEY_ARE = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)


class NotPlainError(TypeError):
    """A value that no plain data stands for; the message names where it is."""


def to_plain(value: Any, where: str) -> Any:
    """The value in plain data; tensors as they are.

    Log histories become tensors, NumPy values Python's, ranges lists, and dictionaries of other kinds (``Counter``,
    ``defaultdict``, configs) plain ones with the same items, which equal them.

    Args:
        value: what a checkpoint holds.
        where: its path in the checkpoint, for the message.

    Raises:
        NotPlainError: for anything that ``weights_only`` loading would refuse.
    """
    if type(value) in _AS_THEY_ARE or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return torch.from_numpy(value)
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        tensors = torch.tensor(values, dtype=torch.float64), torch.tensor(counts, dtype=torch.float64)
        return {_HISTORY: [*tensors, value.max_length]}
    if isinstance(value, Mapping):
        return _plain_mapping(value, where)
    if isinstance(value, (set, frozenset)):
        return {to_plain(item, f"{where}[]") for item in value}
    if isinstance(value, tuple):  # named ones too
        return tuple(to_plain(item, f"{where}[]") for item in value)
    if isinstance(value, (list, range)):
        return [to_plain(item, f"{where}[]") for item in value]
    raise NotPlainError(f"the checkpoint's {where} is a {type(value).__name__}, which is no plain data")


def _plain_mapping(value: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    items = {to_plain(key, where): to_plain(item, f"{where}.{key}") for key, item in value.items()}
    if not isinstance(value, OrderedDict):
        return items
    ordered: Any = OrderedDict(items)
    if hasattr(value, "_metadata"):  # versions of modules, which torch keeps on a state dict
        ordered._metadata = to_plain(value._metadata, f"{where}._metadata")
    return ordered


def history_of(value: Any) -> Any:
    """The log history that :func:`to_plain` wrote; anything else as it is."""
    if isinstance(value, dict) and _HISTORY in value:
        values, counts, max_length = value[_HISTORY]
        return HistoryBuffer(values.tolist(), counts.tolist(), max_length)
    return value
