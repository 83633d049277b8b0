"""Sheets of annotated images show the boxes that are there, where they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from references.own_data import SIZE, coco, lay, pictures
from references.tiny import tiny_config

from lors_det.cli import check_data, run_command
from lors_det.data.folder import read_folder
from lors_det.errors import InputError
from lors_det.plugin.config.data import build_training_set
from lors_det.reports.label_sheet import Labelled, label_sheet, of_split, of_training

BLUE = (31, 119, 180)  # of the first class


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twenty images of one box each, the last of a dog without any."""
    names = " ".join(f"{number:02}" for number in range(20))
    files = {"train.json": coco(names, boxes=[(4, 2, 10, 8)]), "val.json": coco("v")}
    files["train.json"]["annotations"].pop()
    return lay(tmp_path / "set", {**files, **pictures("", f"{names} v")})


def test_images_are_spread_over_those_with_boxes(folder):
    found = list(of_split(read_folder(folder).splits["train"]))
    assert [each.title for each in found] == [
        f"{number:02}.jpg" for number in (0, 2, 3, 5, 7, 8, 10, 11, 13, 15, 16, 18)
    ]
    for each in found:
        assert each.boxes.tolist() == [[4, 2, 14, 10]]
        assert each.names == ["dog"]
        assert each.image.shape == (SIZE[1], SIZE[0], 3)


def test_an_image_that_is_no_longer_there_is_named(folder):
    split = read_folder(folder).splits["train"]
    (folder / "00.jpg").unlink()
    with pytest.raises(InputError, match=r"00\.jpg cannot be read"):
        list(of_split(split))


def test_boxes_are_drawn_where_they_are(tmp_path):
    """Of an image that is enlarged four times, on a sheet that is as large."""
    box = np.array([[30.0, 60.0, 90.0, 90.0]])
    label_sheet([Labelled("a", np.full((120, 120, 3), 255, np.uint8), box, [0], ["cat"])], tmp_path / "a.png", "all")
    drawn = cv2.cvtColor(cv2.imread(str(tmp_path / "a.png")), cv2.COLOR_BGR2RGB)
    assert drawn.shape == (585, 600, 3)
    rows, columns = np.nonzero((np.abs(drawn.astype(int) - BLUE) < 12).all(-1))
    width, height = np.ptp(columns), np.ptp(rows)
    assert width == pytest.approx(2 * height, rel=0.12), "with the class above it"


def test_a_training_set_is_drawn_as_its_pipeline_gives_it(data, tmp_path):
    dataset = build_training_set(tiny_config(data, tmp_path))
    found = list(of_training(dataset, number=3))
    assert len(found) == 3
    for each in found:
        assert each.image.shape == (128, 128, 3), "the files have 64 pixels"
        assert len(each.boxes) == len(each.labels) == len(each.names) > 0
        assert set(each.names) <= set(dataset.metainfo["classes"])
        assert each.boxes.max() > 64


@pytest.mark.parametrize("form", ["folder", "config"])
def test_the_command_draws_them(folder, data, tmp_path, capsys, form):
    what = folder
    if form == "config":
        tiny_config(data, tmp_path).dump(tmp_path / "tiny.py")
        what = tmp_path / "tiny.py"
    run_command(check_data, [str(what), "--samples", str(tmp_path / "sheet.png")])
    assert f"samples: {tmp_path}/sheet.png" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] == 2400


def test_samples_need_images(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_command(check_data, [str(folder), "--samples", str(tmp_path / "a.png"), "--no-images"])
    assert "--samples draws images, and --no-images opens none" in capsys.readouterr().err
