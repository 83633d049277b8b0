"""A few spoilt files of every kind; ``trials/fuzz.py`` tries them for as long as one likes."""

from __future__ import annotations

import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from trials.fuzz import READERS, FoundError, Watch, examples


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()  # Python keeps an audit hook for good: one is enough


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", READERS)
def test_a_spoilt_file_is_read_or_refused(reader, watch):
    ends: Counter[str] = Counter()
    examples(reader, 0, 25, watch, ends)
    assert sum(ends.values()) >= 20


def test_the_watch_sees_what_must_not_be(watch, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    outside = tmp_path / "outside"
    deeds = {
        "open": lambda: outside.write_text("x"),
        "os.mkdir": (tmp_path / "new").mkdir,
        "subprocess.Popen": lambda: subprocess.run(["true"], check=True),
        "socket.connect": lambda: socket.socket(socket.AF_UNIX).connect(str(tmp_path / "none")),
    }
    for event, deed in deeds.items():
        with pytest.raises((FoundError, OSError)), watch.over(folder):
            deed()
        assert any(seen.startswith(event) for seen in watch.seen), event
    with watch.over(folder):
        (folder / "inside").write_text("x")
        Path(folder / "inside").read_text()
