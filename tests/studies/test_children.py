"""Processes of a study end with it."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lors_det.errors import Terminated
from lors_det.studies.children import Children, ended_by_signals

SAYS_SO = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); print('on', flush=True); time.sleep(99)"


def test_what_runs_is_asked_to_end_and_nothing_begins_after(tmp_path):
    children, log = Children(), tmp_path / "log.txt"
    with ThreadPoolExecutor() as threads, log.open("w") as output:
        status = threads.submit(children.run, [sys.executable, "-c", SAYS_SO], output=output, env=os.environ)
        while not log.read_text():
            time.sleep(0.02)
        assert children.end() == 1
        assert status.result(timeout=30) == 7  # it has time to write what it has
        assert children.run(["no such command"], output=output, env=os.environ) == -signal.SIGTERM
        assert children.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_study(number):
    def study() -> None:
        with ended_by_signals():
            os.kill(os.getpid(), number)
            time.sleep(1)

    before = signal.signal(number, signal.SIG_DFL)  # these tests may run under nohup
    try:
        with pytest.raises(Terminated):
            study()
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_ignores_a_closed_terminal_goes_on():
    """As ``nohup`` asks for."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
