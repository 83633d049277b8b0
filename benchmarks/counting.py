"""What a call does beside taking time: operations, and memory for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Counts:
    """Of one call.

    Attributes:
        saved: bytes kept for the backward pass, beside what the call is given.
        operations: dispatched, but for views, which are no work.
    """

    saved: int
    operations: int


def counted(
    run: Callable[..., list[Tensor]], inputs: tuple[Any, ...], given: Iterable[Tensor] = ()
) -> tuple[list[Tensor], Counts]:
    """Results of a call, and its counts.

    Args:
        run: called with ``inputs``.
        inputs: not counted, however they are packed: tensors in tuples, lists and dataclasses.
        given: weights, which are kept anyway, and so are copies that autocast makes of them.
    """
    weights = {_place(tensor) for tensor in given}
    known = weights | {_place(tensor) for tensor in _tensors(inputs)}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if _place(tensor) not in known and not _is_cast(tensor, weights):
            storages[_place(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with _CountOperations() as counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        results = run(*inputs)
    return results, Counts(sum(storages.values()), counter.total)


class _CountOperations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.total += not function.is_view and function is not torch.ops.aten._unsafe_view.default
        return function(*args, **(kwargs or {}))


def _is_cast(tensor: Tensor, given: set[int]) -> bool:
    """Whether a tensor is a given one in another precision: autocast makes it once a step for all who use it."""
    node: Any = tensor.grad_fn
    while type(node).__name__ in ("TBackward0", "ToCopyBackward0"):
        ((node, _),) = node.next_functions
    return hasattr(node, "variable") and _place(node.variable) in given


def _place(tensor: Tensor) -> int:
    """Where a tensor's values lie: the same for all its views."""
    return tensor.untyped_storage().data_ptr()


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dataclasses."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, tuple | list) else []
