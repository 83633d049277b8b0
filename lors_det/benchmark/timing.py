"""Times of two candidates, measured in turns: a shared, noisy machine then slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lors_det.benchmark.plain import plain_operations


@dataclass(frozen=True)
class Comparison:
    """Seconds of each round, and what a call of each keeps and does.

    Attributes:
        ours, plain: seconds, one value a round.
        saved: bytes that (ours, plain) keep for the backward pass beside parameters and inputs.
        operations: operations that (ours, plain) dispatch in a call.
    """

    ours: list[float]
    plain: list[float]
    saved: tuple[int, int]
    operations: tuple[int, int]

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios, ours to plain."""
        return statistics.median(a / b for a, b in zip(self.ours, self.plain))

    @property
    def spread(self) -> tuple[float, float]:
        """First and third quartile of the rounds' ratios."""
        ratios = [a / b for a, b in zip(self.ours, self.plain)]
        first, _, third = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        return first, third


def compare(
    ours: Callable[..., Any],
    plain: Callable[..., Any],
    inputs: Callable[[], tuple[Any, ...]],
    *,
    parameters: Iterable[Tensor] = (),
    rounds: int,
    device: torch.device,
    num_warmups: int = 2,
) -> Comparison:
    """Time both in each round on the same fresh inputs, in turns.

    Args:
        ours, plain: what is timed; called with what ``inputs`` gives. ``plain`` is called in plain operations, see
            :func:`lors_det.benchmark.plain.plain_operations`.
        inputs: makes the arguments of a round.
        parameters: tensors that the backward pass keeps anyway.
        rounds: timed calls of each.
        device: where they run.
        num_warmups: untimed calls of each before.
    """
    candidates = {"ours": (ours, nullcontext), "plain": (plain, plain_operations)}
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(-num_warmups, rounds):
        fresh = inputs()
        for name in sorted(candidates, reverse=number % 2 == 0):
            run, context = candidates[name]
            with context():
                seconds = _seconds(run, fresh, device)
            if number >= 0:
                times[name].append(seconds)
    known = {tensor.untyped_storage().data_ptr() for tensor in parameters}
    counts = []
    for run, context in candidates.values():
        with context():
            counts.append(_counts(run, inputs(), known))
    saved, operations = zip(*counts)
    return Comparison(times["ours"], times["plain"], saved, operations)


def _seconds(run: Callable[..., Any], inputs: tuple[Any, ...], device: torch.device) -> float:
    _wait_for(device)
    start = time.perf_counter()
    run(*inputs)
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _CountOperations(TorchDispatchMode):
    """Counts what is dispatched, but for views, which are no work."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.total += not function.is_view and function is not torch.ops.aten._unsafe_view.default
        return function(*args, **(kwargs or {}))


def _counts(run: Callable[..., Any], inputs: tuple[Any, ...], known: set[int]) -> tuple[int, int]:
    """(bytes saved for the backward pass beside inputs and what is known, operations) of one call."""
    known = known | {tensor.untyped_storage().data_ptr() for tensor in _tensors(inputs)}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with _CountOperations() as counter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run(*inputs)
    return sum(storages.values()), counter.total


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, tuple | list) else []
