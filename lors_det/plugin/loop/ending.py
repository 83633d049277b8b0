"""SIGTERM, by which clusters ask for a process's end before they kill it: the step that is being made ends first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size

from lors_det.errors import Terminated

AGREED_EVERY = 5
"""Steps after which processes ask each other: they must end after the same one."""


class Ending:
    """Whether a training was asked to end; it looks after each step, at an epoch's end and after a validation.

    A process that has a handler of its own for SIGTERM keeps it.
    """

    def __init__(self) -> None:
        self._is_asked = False
        self._at_once = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Inside, SIGTERM is heard; in the main thread, since Python hears signals in no other.

        Where the training ends for it, further ones change nothing, until :func:`heard_again`: torchrun sends one more.

        Raises:
            Terminated: on SIGTERM inside :meth:`at_once`.
        """
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            yield
            return
        signal.signal(signal.SIGTERM, self._hear)
        try:
            yield
        except Terminated:
            signal.signal(signal.SIGTERM, _hear_nothing)
            raise
        except BaseException:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            raise
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _hear(self, *_: Any) -> None:
        was_asked, self._is_asked = self._is_asked, True
        if self._at_once and not was_asked:
            raise Terminated

    @contextmanager
    def at_once(self, *, may: bool) -> Iterator[None]:
        """Inside, SIGTERM ends what is done, if it may."""
        self._at_once = may
        try:
            yield
        finally:
            self._at_once = False

    def is_due(self, steps: int) -> bool:
        """Whether the training ends after so many steps: the same in each process, where one of them was asked."""
        return (get_world_size() == 1 or steps % AGREED_EVERY == 0) and self.is_agreed()

    def is_agreed(self) -> bool:
        """Whether one of the processes, all of which ask, was asked to end."""
        if get_world_size() == 1:
            return self._is_asked
        asked = torch.tensor(float(self._is_asked))
        all_reduce(asked, op="max")
        return bool(asked)


def _hear_nothing(*_: Any) -> None:
    pass


def heard_again() -> None:
    """SIGTERM ends this process again, after a training that ended for it."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is _hear_nothing:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Outliving:
    """What a data loader's worker begins with: it ends when this process says so, and at no other's SIGTERM.

    Slurm sends it to all processes of a job, and a step needs its images to end.

    Args:
        begin: what a worker begins with besides, called with its number.
    """

    def __init__(self, begin: Callable[[int], None] | None) -> None:
        self._begin = begin
        self._trainer = os.getpid()  # a worker's parent may be a server that forks

    def __call__(self, worker: int) -> None:
        if hasattr(signal, "sigwaitinfo"):  # macOS has none, and no such clusters
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # and so for the threads that it starts
            threading.Thread(target=_end_with, args=(self._trainer,), daemon=True).start()
        if self._begin is not None:
            self._begin(worker)


def _end_with(trainer: int) -> None:
    """End this process when SIGTERM comes from that one."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)
