"""Times of two candidates, measured in turns: a shared, noisy machine then slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

MIN_ROUNDS = 3
"""Fewer have no quartiles; those of three are the least and the greatest."""
MAX_ROUNDS = 101
"""More change nothing: they are for operations that take no time."""


@dataclass(frozen=True)
class Comparison:
    """Seconds of each round, of either."""

    ours: list[float]
    baseline: list[float]

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios, ours to the baseline."""
        return statistics.median(self._ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the rounds' ratios; of too few rounds, the least and the greatest."""
        ratios = self._ratios
        if len(ratios) < MIN_ROUNDS:
            return min(ratios), max(ratios)
        first, _, third = statistics.quantiles(ratios, n=4)
        return first, third

    @property
    def _ratios(self) -> list[float]:
        return [a / b for a, b in zip(self.ours, self.baseline)]


@dataclass(frozen=True)
class Effort:
    """How long a case is timed. Only the clock ends it, never what was measured, so no result is favoured.

    Attributes:
        seconds: rounds are added until so much time has passed, but at least :data:`MIN_ROUNDS` and at most
            :data:`MAX_ROUNDS` of them.
        rounds: so many instead, however long they take.
    """

    seconds: float
    rounds: int | None = None

    def suffices(self, rounds: int, elapsed: float) -> bool:
        """Whether ``rounds`` that took ``elapsed`` seconds are enough."""
        if self.rounds is not None:
            return rounds >= self.rounds
        return rounds >= MAX_ROUNDS or (rounds >= MIN_ROUNDS and elapsed >= self.seconds)


def compare(
    ours: Callable[..., Any],
    baseline: Callable[..., Any],
    inputs: Callable[[], tuple[Any, ...]],
    *,
    effort: Effort,
    device: torch.device,
) -> Comparison:
    """Time both in each round on the same fresh inputs, in turns.

    Call each once before: what only a first call does is not left out.

    Args:
        ours: what is timed; called with what ``inputs`` gives.
        baseline: what it is compared with; called likewise.
        inputs: makes the arguments of a round.
        effort: how many rounds.
        device: where they run.
    """
    times = Comparison([], [])
    start = time.perf_counter()
    number = 0
    while not effort.suffices(number, time.perf_counter() - start):
        fresh = inputs()
        turns = [(ours, times.ours), (baseline, times.baseline)]
        for run, seconds in reversed(turns) if number % 2 else turns:
            seconds.append(_seconds(run, fresh, device))
        number += 1
    return times


def _seconds(run: Callable[..., Any], inputs: tuple[Any, ...], device: torch.device) -> float:
    _wait_for(device)
    start = time.perf_counter()
    run(*inputs)
    _wait_for(device)
    return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
