"""A measurement: two candidates that compute the same, and the truth in float64 that both are held against."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.counting import Counts, counted
from benchmarks.timing import Comparison, Effort, compare
from lors_det.adamixer import QueryState
from lors_det.ops import FeatureBank

Run = Callable[..., list[Tensor]]
Precision = Callable[[], AbstractContextManager[Any]]

SLACK = 2.0
"""Our error against float64 may be this many times that of the baseline."""


@dataclass(frozen=True)
class Candidate:
    """A function that is timed, and what makes its results comparable, which is not.

    Attributes:
        run: called with a case's inputs.
        comparable: its results, in the order and layout that all candidates of a case have in common.
    """

    run: Run
    comparable: Callable[[list[Tensor]], list[Tensor]] = list


@dataclass(frozen=True)
class Examination:
    """What one call of each shows.

    Attributes:
        ours, baseline: the error of each output and gradient against float64, relative to its norm.
        flips: see :class:`Case`.
        counts: of (ours, baseline).
    """

    ours: list[float]
    baseline: list[float]
    flips: tuple[float, float]
    counts: tuple[Counts, Counts]

    @property
    def errors(self) -> tuple[float, float]:
        """Means, of (ours, baseline)."""
        return statistics.fmean(self.ours), statistics.fmean(self.baseline)

    @property
    def allowed(self) -> list[float]:
        """What each of our errors may be.

        Each for itself, since one wrong gradient of hundreds is lost in their mean; but against the baseline's mean
        too, since an error of rounding alone is larger here or there by chance.
        """
        mean = statistics.fmean(self.baseline)
        return [max(SLACK * max(error, mean), self.flips[0]) for error in self.baseline]

    @property
    def allowed_mean(self) -> float:
        """What the mean of our errors may be: a small fault of all is none of flips."""
        return max(SLACK * statistics.fmean(self.baseline), self.flips[1])


@dataclass(frozen=True)
class Case:
    """Candidates of the same inputs.

    Attributes:
        ours, baseline: what is timed.
        exact: the baseline in float64.
        inputs: makes the arguments of a call.
        given: weights of either.
        flips: errors that are no fault, of any one tensor and of the mean of all: where gradients pass ReLUs, rounding
            flips a few of them in either candidate, and each flip changes the gradients by one over the root of the
            number of ReLUs.
    """

    ours: Candidate
    baseline: Candidate
    exact: Candidate
    inputs: Callable[[], tuple[Any, ...]]
    given: Sequence[Tensor] = ()
    flips: tuple[float, float] = (0.0, 0.0)

    def examine(self) -> Examination:
        """Call each once, which warms it up as well."""
        inputs = self.inputs()
        truth = self.exact.comparable(self.exact.run(*_in_float64(inputs)))
        ours, counts_of_ours = self._examined(self.ours, inputs, truth)
        baseline, counts_of_baseline = self._examined(self.baseline, inputs, truth)
        return Examination(ours, baseline, self.flips, (counts_of_ours, counts_of_baseline))

    def _examined(
        self, candidate: Candidate, inputs: tuple[Any, ...], truth: list[Tensor]
    ) -> tuple[list[float], Counts]:
        results, counts = counted(candidate.run, inputs, self.given)
        return relative_errors(candidate.comparable(results), truth), counts

    def measure(self, effort: Effort, device: torch.device) -> Comparison:
        """Time both, see :func:`benchmarks.timing.compare`."""
        return compare(self.ours.run, self.baseline.run, self.inputs, effort=effort, device=device)


def relative_errors(found: list[Tensor], truth: list[Tensor]) -> list[float]:
    """|found - truth| / |truth| of each tensor."""
    return [((a.double() - b).norm() / b.norm().clamp(min=1e-12)).item() for a, b in zip(found, truth, strict=True)]


def inference(forward: Run, precision: Precision = nullcontext) -> Run:
    """``forward`` without gradients."""

    def run(*inputs: Any) -> list[Tensor]:
        with torch.no_grad(), precision():
            return forward(*inputs)

    return run


def both_ways(forward: Run, leaves: Run, precision: Precision = nullcontext) -> Run:
    """``forward``, and the gradients of its leaves for a fixed direction of each output.

    Args:
        forward: its outputs come first among the results.
        leaves: of the same inputs, the tensors whose gradients follow.
        precision: around ``forward`` alone, as autocast wants it.
    """

    def run(*inputs: Any) -> list[Tensor]:
        tensors = [tensor.requires_grad_() for tensor in leaves(*inputs)]
        with precision():
            outputs = forward(*inputs)
        directions = [torch.linspace(-1, 1, output.numel(), device=output.device) for output in outputs]
        directions = [d.view_as(output).to(output.dtype) for d, output in zip(directions, outputs)]
        return [*outputs, *torch.autograd.grad(outputs, tensors, directions)]

    return run


def _in_float64(value: Any) -> Any:
    """Copies of tensors, and of what holds them, in float64."""
    if isinstance(value, Tensor):
        return value.detach().double()
    if isinstance(value, FeatureBank):
        return replace(value, rows=value.rows.detach().double())
    if isinstance(value, QueryState):
        return QueryState(*map(_in_float64, value))
    return type(value)(map(_in_float64, value))
