"""Runners whose console shows what a person wants to see; the log file keeps all that mmengine says.

A Runner prints hundreds of lines before its first step: environment, config, hooks. These go to the file of the log
alone, as do the lines of the log's interval and what pycocotools prints. Of what is logged, warnings are shown, and
what this package says itself.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from mmengine.config import Config
from mmengine.runner import BaseLoop, Runner
from torch import nn

from lors_det.plugin.config.tracker_secrets import refuse_secrets
from lors_det.plugin.screen.own_runner import OwnRunner
from lors_det.plugin.screen.progress import ProgressHook
from lors_det.plugin.screen.screens import Screen, screen_for

LEVELS = ("short", "quiet", "verbose")
"""A line that is written over and a row for each validation; a line for each validation; mmengine's own lines."""

_FRAMEWORK_ITSELF = (
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    "The prefix is not set in metric class DumpDetResults",
)
"""Beginnings of warnings of mmengine about its own code and mmdet's, which no user can mend."""

_FROZEN = "is skipped since its requires_grad=False"
"""End of a warning for every weight that a config keeps frozen."""


def make_runner(cfg: Config, level: str = "short") -> Runner:
    """A Runner for a config, at one of :data:`LEVELS`; nothing of it is in the config.

    Raises:
        InputError: if the config holds a tracker's password or key.
        ValueError: if the level is unknown.
    """
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}; choose from {', '.join(LEVELS)}")
    refuse_secrets(cfg)
    kinds = {"short": ConsoleRunner, "quiet": QuietRunner, "verbose": OwnRunner}
    return kinds[level].from_cfg(cfg)


class ConsoleRunner(OwnRunner):
    """A Runner with a progress line. One that is no first process shows errors alone."""

    quiet = False

    screen: Screen | None = None

    def build_logger(self, log_level: int | str = "INFO", log_file: str | None = None, **kwargs: Any) -> logging.Logger:
        logger = super().build_logger(log_level, log_file, **kwargs)
        for number, handler in enumerate(logger.handlers):
            if type(handler) is logging.StreamHandler:
                logger.handlers[number] = ConsoleHandler(handler, quiet=self.quiet)
        return logger

    def register_hooks(self, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        if self.rank == 0:
            self.screen = screen_for(quiet=self.quiet)
            title = Path(self.cfg.filename).stem if self.cfg.filename else self.experiment_name
            self.register_hook(ProgressHook(self.screen, title))

    def build_train_loop(self, loop: Any) -> BaseLoop:
        with printed_to_log(self.logger):
            return super().build_train_loop(loop)

    def build_val_loop(self, loop: Any) -> BaseLoop:
        with printed_to_log(self.logger):
            return self._silenced(super().build_val_loop(loop))

    def build_test_loop(self, loop: Any) -> BaseLoop:
        with printed_to_log(self.logger):
            return self._silenced(super().build_test_loop(loop))

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        with printed_to_log(self.logger):
            return super().load_checkpoint(*args, **kwargs)

    def train(self) -> nn.Module:
        with self._closing():
            return super().train()

    def val(self) -> dict[str, float]:
        with self._closing():
            return super().val()

    def test(self) -> dict[str, float]:
        with self._closing():
            return super().test()

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """The terminal is left as it was, however a run ends."""
        try:
            yield
        finally:
            if self.screen is not None:
                self.screen.close()

    def _silenced(self, loop: Any) -> BaseLoop:
        """The loop, whose scores are computed without print."""
        evaluate = loop.evaluator.evaluate

        def evaluate_silently(size: int) -> dict[str, float]:
            with printed_to_log(self.logger):
                return evaluate(size)

        loop.evaluator.evaluate = evaluate_silently
        return loop


class QuietRunner(ConsoleRunner):
    """A Runner that says a line for each validation."""

    quiet = True


class ConsoleHandler(logging.Handler):
    """Shows warnings, on stderr, and what this package says, on stdout, without dates and levels.

    The streams are those of the moment, of which a progress line makes others.

    Args:
        replaced: the handler in whose place it stands, with its level and its filters.
        quiet: show warnings alone.
    """

    def __init__(self, replaced: logging.Handler, *, quiet: bool) -> None:
        super().__init__(max(replaced.level, logging.WARNING) if quiet else replaced.level)
        for each in replaced.filters:
            self.addFilter(each)

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            if not message.startswith(_FRAMEWORK_ITSELF) and not message.endswith(_FROZEN):
                print(f"{record.levelname.lower()}: {message}", file=sys.stderr, flush=True)
        elif not getattr(record, "printed", False) and _said_by_this_package():
            print(message, file=getattr(sys.stdout, "shown", sys.stdout), flush=True)


class Printed(io.StringIO):
    """What is printed instead of shown.

    Args:
        shown: the stream of what is shown all the same.
    """

    def __init__(self, shown: TextIO) -> None:
        super().__init__()
        self.shown = shown


@contextmanager
def printed_to_log(logger: logging.Logger) -> Iterator[None]:
    """What is printed to stdout meanwhile goes to the log's file."""
    printed = Printed(getattr(sys.stdout, "shown", sys.stdout))
    try:
        with redirect_stdout(printed):
            yield
    finally:
        if printed.getvalue().strip():
            logger.info(printed.getvalue().rstrip(), extra={"printed": True})


def _said_by_this_package() -> bool:
    """Whether the first caller that is no logging is of this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name != __name__ and not name.startswith(("logging", "mmengine.logging")):
            return name.startswith("lors_det.")
        frame = frame.f_back
    return False
