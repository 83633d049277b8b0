"""Where a run's words go: a line of a terminal that is written over, or lines one below the other."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from textwrap import wrap
from typing import Protocol

from rich.console import Console

from lors_det.plugin.screen.live_screen import LiveScreen
from lors_det.plugin.screen.words import Moment, classes_lines, duration, place, plain_line, score, scores_line, steps

LINE_WIDTH = 112
"""Columns of a line that is not written to a terminal."""
HEADER_WIDTH = 100
"""Columns of the rows before the first step; what is longer goes on below, and no word is broken."""


class Screen(Protocol):
    """What shows a run."""

    def header(self, title: str, rows: Mapping[str, str]) -> None:
        """The run in short, before its first step."""

    def moment(self, moment: Moment, *, logged: bool) -> None:
        """After each step; ``logged`` at those of the log's interval."""

    def scoring(self, moment: Moment) -> None:
        """The predictions are all there, and are judged."""

    def validated(self, moment: Moment, metrics: Mapping[str, float], seconds: float, elapsed: float) -> None:
        """A validation, with the seconds that it took, and that the training has taken."""

    def tested(self, metrics: Mapping[str, float]) -> None:
        """A test."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def screen_for(*, quiet: bool) -> Screen:
    """The live line on a terminal, else plain lines; a screen of few words if ``quiet``."""
    terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, force_terminal=terminal, force_jupyter=False, highlight=False)
    if terminal and not quiet and not console.is_dumb_terminal:
        return LiveScreen(console)
    return PlainScreen(quiet=quiet)


class PlainScreen:
    """A line for the first step, each interval of the log and each validation; of the latter alone if ``quiet``."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._has_begun = False

    def header(self, title: str, rows: Mapping[str, str]) -> None:
        if not self.quiet:
            _say(title)
            for name, value in rows.items():
                first, *more = wrap(value, HEADER_WIDTH - 12, break_long_words=False, break_on_hyphens=False) or [""]
                _say(f"  {name:<10}{first}")
                for line in more:
                    _say(" " * 12 + line)

    def moment(self, moment: Moment, *, logged: bool) -> None:
        if not self.quiet and (logged or not self._has_begun):
            # the first step says that there is one: on a slow machine the log's interval takes minutes
            _say(plain_line(moment if self._has_begun else replace(moment, eta=None), LINE_WIDTH))
        self._has_begun = True

    def scoring(self, moment: Moment) -> None:
        """Nothing: the scores follow."""

    def validated(self, moment: Moment, metrics: Mapping[str, float], seconds: float, elapsed: float) -> None:
        where = f"step {steps(moment)}" if moment.epoch is None else place(moment)
        words = [where, "validated", scores_line(metrics)]
        if moment.best is not None:
            words.append("(best so far)" if moment.is_best else f"(best {score(moment.best)})")
        _say("  ".join([*words, f"in {duration(seconds)}"]))
        if not self.quiet:
            for line in classes_lines(metrics, LINE_WIDTH - 2):
                _say(f"  {line}")

    def tested(self, metrics: Mapping[str, float]) -> None:
        _say(scores_line(metrics))
        for line in classes_lines(metrics, LINE_WIDTH - 2):
            _say(f"  {line}")

    def close(self) -> None:
        """Nothing is open."""


def _say(words: str) -> None:
    """A line of its own, at once: logs are followed as they grow."""
    print(words, flush=True)
