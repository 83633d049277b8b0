"""Which checkpoint a run goes on from: the last one that is whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from lors_det.errors import InputError
from lors_det.plugin.saving.latest import candidates, latest_checkpoint


def write(folder: Path, name: str, age: int) -> Path:
    path = folder / name
    content = {"state_dict": {"weight": torch.arange(1000.0) + age}, "optimizer": {}, "meta": {"name": name}}
    torch.save(content, path)
    os.utime(path, (10_000 - age, 10_000 - age))
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    for age, name in enumerate(("epoch_10.pth", "epoch_9.pth", "iter_500.pth", "best_coco_bbox_mAP_epoch_9.pth")):
        write(tmp_path, name, age)
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_10.pth"))
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_the_one_that_is_named_comes_first_and_best_ones_are_none(folder):
    assert names(candidates(folder)) == ["epoch_10.pth", "epoch_9.pth", "iter_500.pth"]
    (folder / "last_checkpoint").write_text(str(folder / "epoch_9.pth"))
    assert names(candidates(folder)) == ["epoch_9.pth", "epoch_10.pth", "iter_500.pth"]
    (folder / "last_checkpoint").unlink()
    assert names(candidates(folder)) == ["epoch_10.pth", "epoch_9.pth", "iter_500.pth"]


def test_a_folder_that_was_moved(folder):
    (folder / "last_checkpoint").write_text("/another/machine/epoch_9.pth")
    assert latest_checkpoint(folder).path == folder / "epoch_9.pth"


def test_a_copy_of_a_folder_goes_on_with_its_own(folder, tmp_path_factory):
    """Not with the file of the same name in the folder that it is a copy of, which may have been trained since."""
    copy = tmp_path_factory.mktemp("copies") / "copy"
    shutil.copytree(folder, copy)
    assert (copy / "last_checkpoint").read_text() == str(folder / "epoch_10.pth")
    assert latest_checkpoint(copy).path == copy / "epoch_10.pth"


def test_one_in_another_folder(folder, tmp_path_factory):
    elsewhere = write(tmp_path_factory.mktemp("out"), "epoch_11.pth", 0)
    (folder / "last_checkpoint").write_text(str(elsewhere))
    assert latest_checkpoint(folder).path == elsewhere


@pytest.mark.parametrize("left", [0, 10, 0.5, 0.99])
def test_a_truncated_one_is_told_of_and_the_one_before_it_used(folder, capsys, left):
    path = folder / "epoch_10.pth"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole)) if isinstance(left, float) else left])
    found = latest_checkpoint(folder)
    assert found.path == folder / "epoch_9.pth"
    assert found.content["meta"]["name"] == "epoch_9.pth"
    said = capsys.readouterr().err
    assert f"warning: checkpoint {path}" in said
    assert "epoch_9.pth is used in its place" in said


def test_none_that_can_be_read_is_an_error(folder):
    for path in folder.glob("*.pth"):
        path.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"(?s)epoch_10\.pth .* can be read: start anew, in another folder") as refused:
        latest_checkpoint(folder)
    assert all(f"checkpoint {folder / name} " in str(refused.value) for name in ("epoch_9.pth", "iter_500.pth"))
    assert "best_" not in str(refused.value)


def test_weights_alone_are_none_that_a_run_goes_on_from(folder):
    torch.save({"state_dict": {}, "meta": {}}, folder / "epoch_10-0a1b2c3d.pth")  # as mmengine publishes them
    (folder / "last_checkpoint").unlink()
    assert names(candidates(folder))[0] == "epoch_10-0a1b2c3d.pth"
    assert latest_checkpoint(folder).path == folder / "epoch_10.pth"


def test_none_at_all(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "gone") is None
