"""What a folder holds is all that it holds, or an error."""

import errno
import os
from pathlib import Path

import pytest

from lors_det.data.listing import Listing


def test_a_link_to_itself_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for number in range(50):
        (tmp_path / f"{number}.jpg").touch()
    assert len(Listing().files(str(tmp_path)) - {"loop"}) == 50
    assert Listing().folders(str(tmp_path)) == ()


@pytest.mark.parametrize("place", ["nowhere", "file", "loop", "n" * 300, "nul\0"])
def test_what_is_no_folder_holds_nothing(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert Listing().files(f"{tmp_path}/{place}") == frozenset()


def test_a_fault_of_the_disk_is_no_end_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), folder)

    monkeypatch.setattr(os, "scandir", broken)
    with pytest.raises(OSError, match=str(tmp_path)):
        Listing().files(str(tmp_path))
