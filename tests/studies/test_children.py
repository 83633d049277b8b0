"""Processes of a study end with it."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from lors_det.studies.children import Children

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
