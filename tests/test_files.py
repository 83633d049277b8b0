"""Places are refused before the work that fills them, and a full disk is told of by the file's name."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator

import pytest
import torch

from lors_det.errors import InputError
from lors_det.files import check_folder, check_place, make_folder, write_whole

ROOM = 1 << 20


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may be larger than a mebibyte, which is to a writer what a full disk is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", [lambda file: file.write(bytes(2 * ROOM)), lambda file: torch.save(big(), file)])
def test_a_file_that_finds_no_room_is_named_and_leaves_nothing(tmp_path, little_room, write):
    """Also where torch's own error tells of a place in the file alone."""
    (tmp_path / "out.pth").write_text("old")
    with pytest.raises(InputError, match=rf"^{re.escape(str(tmp_path))}/out\.pth cannot be written: File too large"):
        write_whole(tmp_path / "out.pth", write)
    assert [path.name for path in tmp_path.iterdir()] == ["out.pth"]
    assert (tmp_path / "out.pth").read_text() == "old"


def big() -> dict[str, torch.Tensor]:
    return {str(number): torch.rand(1 << 16) for number in range(16)}


def test_an_error_of_another_kind_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "out", lambda file: file.write((tmp_path / "none").read_bytes()))
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file/sub/folder"):
        with pytest.raises(InputError, match=r"cannot be a folder: .*file is a file; name a folder"):
            check_folder(folder)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for folder in (tmp_path / "link", tmp_path / "link/sub"):
        with pytest.raises(InputError, match=r"cannot be a folder: .*link is a link to .*gone, which is no folder"):
            check_folder(folder)
    (tmp_path / "gone").mkdir()
    check_folder(tmp_path / "link/sub")
    check_folder(tmp_path)
    check_folder(tmp_path / "new/folder")
    assert not (tmp_path / "new").exists()
    check_place(tmp_path / "new.json")
    # the tests may run as one who may write everywhere
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=rf"folder {re.escape(str(tmp_path))} is not writable"):
        check_folder(tmp_path / "new/folder")
    with pytest.raises(InputError, match=rf"new\.json cannot be written: folder {re.escape(str(tmp_path))} is not"):
        check_place(tmp_path / "new.json")


@pytest.mark.parametrize("write", [check_place, lambda path: write_whole(path, lambda file: file.write(b"x"))])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path, write):
    """As /dev/null would be, for one who may do so, or /dev/stdout, a link to a pipe."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "stdout").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "stdout"):
        with pytest.raises(InputError, match=rf"{name} is a device or a pipe, .*; name a file to write"):
            write(tmp_path / name)
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "stdout").is_symlink()


@pytest.mark.parametrize("letter", ["a", "日"])
def test_a_name_may_be_as_long_as_names_are(tmp_path, letter):
    path = tmp_path / (letter * (250 // len(letter.encode())) + ".png")
    write_whole(path, lambda file: file.write(b"x"))
    assert path.read_bytes() == b"x"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    make_folder(tmp_path / "new/folder")
    make_folder(tmp_path / "new/folder")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"folder .*file/sub cannot be made: Not a directory; name another place"):
        make_folder(tmp_path / "file/sub")
