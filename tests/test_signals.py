"""What a signal ends is ended as an error ends it."""

from __future__ import annotations

import os
import signal
import time

import pytest

from lors_det.errors import Terminated
from lors_det.signals import ended_by_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_what_runs(number):
    def work() -> None:
        with ended_by_signals():
            os.kill(os.getpid(), number)
            time.sleep(1)

    before = signal.signal(number, signal.SIG_DFL)  # these tests may run under nohup
    try:
        with pytest.raises(Terminated):
            work()
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_what_is_cleared_away_is_not_disturbed():
    cleared = []

    def work() -> None:
        with ended_by_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.01)
                cleared.append(True)

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(Terminated):
            work()
        assert cleared == [True]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_ignores_a_closed_terminal_goes_on():
    """As ``nohup`` asks for."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
