"""A run on a terminal: one line that is written over, and a row that stays for each validation."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from time import monotonic

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lors_det.plugin.screen.words import (
    COCO_COLUMNS,
    Moment,
    Word,
    class_scores,
    classes_lines,
    coco_scores,
    duration,
    fitting,
    numbers,
    place,
    score,
    scores_line,
    short,
    steps,
)

REFRESH_SECONDS = 0.1
BAR_WIDTH = (6, 30)
"""Columns of the bar: at least, at most."""


class LiveScreen:
    """One line that is written over, and a row that stays for each validation.

    The line is drawn by the steps themselves, not by a thread: data workers are forked while it is there.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._drawn = 0.0
        self._has_heading = False

    def header(self, title: str, rows: Mapping[str, str]) -> None:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in rows.items():
            grid.add_row(f"  {name}", Text(value))
        self.console.print(Text(title, style="bold"))
        self.console.print(grid)
        self.console.print()

    def moment(self, moment: Moment, *, logged: bool) -> None:
        now = monotonic()
        # the last one is drawn: what follows it may take long
        if now - self._drawn >= REFRESH_SECONDS or moment.step == moment.num_steps:
            self._drawn = now
            self._draw(LiveLine(moment))

    def scoring(self, moment: Moment) -> None:
        self._draw(LiveLine(moment, state="scoring"))

    def validated(self, moment: Moment, metrics: Mapping[str, float], seconds: float, elapsed: float) -> None:
        scores = coco_scores(metrics)
        if "AP" not in scores:
            self.console.print(Text(f"{place(moment)}  validated  {scores_line(metrics)}"))
            return
        if not self._has_heading:
            self._has_heading = True
            headings = "".join(f"{heading:>7}" for heading in COCO_COLUMNS)
            self.console.print(
                Text(f"{'epoch' if moment.epoch else 'step':>9}{'loss':>9}{headings}{'time':>10}", "dim")
            )
        where = moment.epoch if moment.epoch is not None else moment.step
        row = Text(f"{where:>9}{short(moment.loss) if moment.loss is not None else '-':>9}")
        for heading in COCO_COLUMNS:
            style = "bold green" if moment.is_best and heading == "AP" else ""
            row.append(f"{score(scores.get(heading, -1)):>7}", style)
        row.append(f"{duration(elapsed):>10}", "dim")
        row.append("  best" if moment.is_best else "", "green")
        self.console.print(row)
        for line in classes_lines(metrics, self.console.width - 4):
            self.console.print(Text(f"    {line}", "dim"))

    def tested(self, metrics: Mapping[str, float]) -> None:
        self.close()
        scores = coco_scores(metrics)
        if "AP" not in scores:
            self.console.print(Text(scores_line(metrics)))
            return
        table = Table(box=None, padding=(0, 2, 0, 0))
        for heading in scores:
            table.add_column(heading, justify="right")
        table.add_row(*(score(value) for value in scores.values()))
        self.console.print(table)
        if class_scores(metrics):
            self.console.print(Text("\nAP by class", "bold"))
            for line in classes_lines(metrics, self.console.width):
                self.console.print(Text(line))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, line: LiveLine) -> None:
        if self._live is None:
            self._live = Live(
                console=self.console,
                auto_refresh=False,
                transient=True,
                # a stream that goes to a file stays as it is
                redirect_stderr=sys.stderr.isatty(),
            )
            self._live.start()
        self._live.update(line, refresh=True)


class LiveLine:
    """A moment as a line of exactly a terminal's width: place, bar, and as many of the numbers as fit."""

    def __init__(self, moment: Moment, state: str = "") -> None:
        self.moment = moment
        self.state = state or {"train": "", "val": "validating", "test": ""}[moment.phase]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        moment = self.moment
        width = options.max_width - 1  # a full last column makes some terminals break the line
        start = " ".join(filter(None, (place(moment), self.state)))
        count = steps(moment)
        shortest, longest = BAR_WIDTH
        left = width - len(start) - len(count) - shortest - 2
        words: list[Word] = numbers(moment, stages=False)
        end = "".join(f"  {text}" for text in fitting(words, left - 2)) if words else ""
        bar_width = min(longest, max(shortest, width - len(start) - len(count) - len(end) - 2))
        grid = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        for style in ("bold", "", "", ""):
            grid.add_column(no_wrap=True, overflow="crop", style=style)
        bar = ProgressBar(total=max(1, moment.num_steps), completed=moment.step, width=bar_width)
        grid.add_row(Text(start), bar, Text(count + end, no_wrap=True, overflow="crop"))
        yield grid
