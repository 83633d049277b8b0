"""Signals that ask a process to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lors_det.errors import Terminated


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside, SIGTERM and a closed terminal raise :class:`Terminated`, where they would end the process.

    The first alone: a terminal may send two, and what is cleared away then must not be disturbed.
    """

    def hear(number: int, frame: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated

    heard = []
    if threading.current_thread() is threading.main_thread():
        heard = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for each in heard:
        signal.signal(each, hear)
    try:
        yield
    finally:
        for each in heard:
            signal.signal(each, signal.SIG_DFL)
