"""Timing: the clock decides how often, and nothing but the candidates is timed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from benchmarks import timing
from benchmarks.timing import MAX_ROUNDS, MIN_ROUNDS, Comparison, Effort, compare

CPU = torch.device("cpu")


class Clock:
    """Time that passes only where a candidate lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def lasts(self, seconds: float, calls: list[str], name: str) -> object:
        def run(x: Tensor) -> None:
            self.now += seconds
            calls.append(name)

        return run


@dataclass
class Timed:
    measured: Comparison
    calls: list[str]


@pytest.fixture
def timed(monkeypatch) -> object:
    """Compare candidates of three seconds and one; with its order of calls."""

    def measure(effort: Effort) -> Timed:
        clock, calls = Clock(monkeypatch), []
        ours, baseline = clock.lasts(3.0, calls, "ours"), clock.lasts(1.0, calls, "baseline")
        return Timed(compare(ours, baseline, lambda: (torch.zeros(1),), effort=effort, device=CPU), calls)

    return measure


def test_times_are_of_the_rounds_alone(timed):
    found = timed(Effort(seconds=0, rounds=4))
    assert found.measured.ours == [3.0] * 4
    assert found.measured.baseline == [1.0] * 4
    assert found.measured.ratio == 3.0


def test_candidates_take_turns(timed):
    """They lead in turns, so that none profits from its place."""
    calls = timed(Effort(seconds=0, rounds=2)).calls
    assert calls == ["ours", "baseline", "baseline", "ours"]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, MIN_ROUNDS), (4.0 * 9, 9), (4.0 * 8.5, 9), (4.0 * MAX_ROUNDS * 2, MAX_ROUNDS)]
)
def test_rounds_follow_from_time(timed, seconds, expected):
    assert len(timed(Effort(seconds)).measured.ours) == expected  # a round lasts four seconds


def test_ratios_are_of_rounds():
    measured = Comparison(ours=[1.0, 4.0, 3.0], baseline=[2.0, 4.0, 12.0])
    assert measured.ratio == 0.5
    assert measured.quartiles == (0.25, 1.0)


def test_quartiles_of_too_few_rounds_are_no_extrapolation():
    assert Comparison(ours=[1.0, 4.0], baseline=[2.0, 4.0]).quartiles == (0.5, 1.0)
    assert Comparison(ours=[1.0], baseline=[2.0]).quartiles == (0.5, 0.5)
