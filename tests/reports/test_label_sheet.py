"""A sheet of annotated images has those of the set, as they lie or as the training gets them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from references.own_data import SIZE, coco, lay, pictures
from references.tiny import tiny_config

from lors_det.cli import check_data, run_command
from lors_det.data.folder import read_folder
from lors_det.plugin.config.data import build_training_set
from lors_det.reports.label_sheet import _rgb, of_split, of_training


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


def test_an_image_that_cannot_be_read_is_passed_over(folder):
    split = read_folder(folder).splits["train"]
    (folder / "00.jpg").unlink()
    assert next(each.title for each in of_split(split)) == "02.jpg"


def test_colours_beyond_pixels():
    assert _rgb(np.array([[[-3.0, 300.0, 7.5]]])).tolist() == [[[7, 255, 0]]]


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
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] == 1960


def test_samples_need_images(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_command(check_data, [str(folder), "--samples", str(tmp_path / "a.png"), "--no-images"])
    assert "--samples draws images, and --no-images opens none" in capsys.readouterr().err
