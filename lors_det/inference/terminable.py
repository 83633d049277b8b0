"""A run over images that SIGTERM ends as Ctrl-C does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from lors_det.errors import Terminated


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM ends the run as Ctrl-C does: what was found is written."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough, while files are written
        raise Terminated

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, former)
