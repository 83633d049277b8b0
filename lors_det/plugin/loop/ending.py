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
    """Whether a training was asked to end.

    Outside of an epoch's steps, as in a validation, :class:`~lors_det.errors.Terminated` is raised at once: the epoch's
    checkpoint is written. A process that has a handler of its own for SIGTERM keeps it.
    """

    def __init__(self) -> None:
        self._is_asked = False
        self._makes_steps = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Inside, SIGTERM is heard; in the main thread, since Python hears signals in no other.

        Raises:
            Terminated: on SIGTERM, but inside :meth:`makes_steps`.
        """
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            yield
            return
        signal.signal(signal.SIGTERM, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _hear(self, *_: Any) -> None:
        if not self._makes_steps:
            raise Terminated
        self._is_asked = True

    @contextmanager
    def makes_steps(self) -> Iterator[None]:
        """Inside, SIGTERM is only noted, for :meth:`is_due`."""
        self._makes_steps = True
        try:
            yield
        finally:
            self._makes_steps = False

    def is_due(self, steps: int) -> bool:
        """Whether the training ends after so many steps: the same in each process, where one of them was asked."""
        if get_world_size() == 1:
            return self._is_asked
        if steps % AGREED_EVERY:
            return False
        asked = torch.tensor(float(self._is_asked))
        all_reduce(asked, op="max")
        return bool(asked)


class Outliving:
    """What a data loader's worker begins with: it ends when its parent says so, and at no other's SIGTERM.

    Slurm sends it to all processes of a job, and a step needs its images to end.

    Args:
        begin: what a worker begins with besides, called with its number.
    """

    def __init__(self, begin: Callable[[int], None] | None) -> None:
        self._begin = begin

    def __call__(self, worker: int) -> None:
        if self._begin is not None:
            self._begin(worker)
        if not hasattr(signal, "sigwaitinfo"):  # macOS, which has no such clusters
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # and so for the threads that it starts
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when SIGTERM comes from that one."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
