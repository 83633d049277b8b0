"""A run over images that Ctrl-C or SIGTERM ends: what was found is written before."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from lors_det.errors import Terminated


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM raises as Ctrl-C does, and the first alone: people press twice, and files are written then."""

    def end(number: int, _: object) -> None:
        for each in former:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    heard = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not so in the background of a shell
        heard.append(signal.SIGINT)
    former = {each: signal.signal(each, end) for each in heard}
    try:
        yield
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
