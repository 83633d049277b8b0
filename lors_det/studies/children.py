"""The processes of a study's runs, which end with it."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import IO


class Children:
    """Starts processes and waits for them, in threads; :meth:`end` asks all of them to end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_ended = False

    def run(self, command: Sequence[str], *, output: IO[str], env: Mapping[str, str]) -> int:
        """The exit status of a command, which writes into a file; none is begun after :meth:`end`.

        It has a session of its own: Ctrl-C is the study's alone, which asks its runs to end as a cluster does, so that
        each writes a checkpoint.
        """
        with self._lock:
            if self._is_ended:
                return -signal.SIGTERM
            child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env, start_new_session=True)
            self._running.add(child)
        try:
            return child.wait()
        finally:
            with self._lock:
                self._running.discard(child)

    def end(self) -> int:
        """Ask all to end, by SIGTERM, and begin no others; how many there are."""
        with self._lock:
            self._is_ended = True
            for child in self._running:
                child.terminate()
            return len(self._running)
