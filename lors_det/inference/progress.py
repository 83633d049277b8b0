"""How far a run over images is, on stderr."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


def progress_bar(*, quiet: bool) -> Progress:
    """A bar with images, their speed and the time that is left; nothing of it if ``quiet``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
        console=Lasting(stderr=True),
        disable=quiet,
    )


class Lasting(Console):
    """Whose reader may go away, as ``head`` does; rich would end the command."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Speed(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        elapsed = task.finished_time or task.elapsed
        return Text(f"{task.completed / elapsed:.1f} images/s" if elapsed and task.completed else "")
