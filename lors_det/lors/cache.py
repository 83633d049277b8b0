"""Folded weights, kept between the images of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class FoldCache:
    """What a residual and its base fold into, computed again when one of their tensors has changed.

    A change is seen by the tensors' storage and version, which two writers leave as they were: fused optimisers, and
    averages of weights that are swapped through ``tensor.data``. So :meth:`clear` it in every call with gradients,
    which a step of the optimiser follows, and when the module turns to training or evaluation.

    Copies and pickles of a cache are empty.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._key: tuple[object, ...] | None = None
        self._folded: tuple[Tensor, ...] = ()

    def __getstate__(self) -> dict[str, object]:
        return {"_key": None, "_folded": ()}

    def get(
        self, fold: Callable[[], tuple[Tensor, ...]], sources: Sequence[Tensor], dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        """``fold()``, cast to ``dtype``; the kept result if ``sources``, all that it is made of, are unchanged."""
        versions = (None if tensor.is_inference() else tensor._version for tensor in sources)
        places = ((tensor.data_ptr(), tensor.dtype, tensor.device) for tensor in sources)
        key = (dtype, *versions, *places)
        if key != self._key:
            self._folded, self._key = tuple(tensor.to(dtype) for tensor in fold()), key
        return self._folded
