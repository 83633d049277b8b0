"""Sheets of annotated images show the boxes that are there, where they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from references.own_data import SIZE, coco, lay, pictures
from references.tiny import tiny_config

from lors_det.cli import check_data, run_command
from lors_det.data.folder import read_folder
from lors_det.plugin.config.data import build_training_set
from lors_det.reports.label_sheet import Labelled, _rgb, label_sheet, of_split, of_training

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


def test_an_image_that_cannot_be_read_is_passed_over(folder):
    split = read_folder(folder).splits["train"]
    (folder / "00.jpg").unlink()
    assert next(each.title for each in of_split(split)) == "02.jpg"


def test_boxes_are_drawn_where_they_are(tmp_path):
    """Of an image that is enlarged four times, on a sheet that is as large."""
    image = np.full((120, 120, 3), 255, np.uint8)
    image[60:90, 30:90] = 128  # what the box is around
    box = np.array([[30.0, 60.0, 90.0, 90.0]])
    label_sheet([Labelled("a$b_{$.jpg", image, box, [0], ["$cat_{$"])], tmp_path / "a.png", "all")
    drawn = cv2.cvtColor(cv2.imread(str(tmp_path / "a.png")), cv2.COLOR_BGR2RGB)
    assert drawn.shape == (585, 600, 3)
    edges, inside = (np.nonzero((np.abs(drawn.astype(int) - colour) < 12).all(-1)) for colour in (BLUE, (128,) * 3))
    assert np.ptp(inside[1]) > 150
    assert edges[0].max() == pytest.approx(inside[0].max(), abs=4)
    for edge in (np.min, np.max):
        assert edge(edges[1]) == pytest.approx(edge(inside[1]), abs=4)


def test_what_is_hardly_an_image_and_colours_beyond_pixels(tmp_path):
    line = Labelled("line", np.zeros((2, 3000, 3), np.uint8), np.empty((0, 4)), [], [])
    label_sheet([line], tmp_path / "line.png", "one")
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
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] == 2400


def test_samples_need_images(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_command(check_data, [str(folder), "--samples", str(tmp_path / "a.png"), "--no-images"])
    assert "--samples draws images, and --no-images opens none" in capsys.readouterr().err


def test_a_legend_names_the_classes_of_crowded_images(tmp_path, monkeypatch):
    """Of those alone; a name may begin with _ or hold a $."""
    figures = []

    def kept(**given):
        figures.append(Figure(**given))
        return figures[-1]

    monkeypatch.setattr("lors_det.reports.label_sheet.Figure", kept)
    image, box = np.zeros((40, 40, 3), np.uint8), np.array([[3.0, 3.0, 9.0, 9.0]])
    few = Labelled("few", image, box, [4], ["few"])
    many = Labelled("many", image, box.repeat(30, axis=0), [7, 2] * 15, ["_$z", "cat"] * 15)
    for samples, expected in (([few, many], ["cat", "_$z"]), ([few], None)):
        label_sheet(samples, tmp_path / "a.png", "all")
        legends = figures.pop().legends
        assert (expected is None) == (not legends)
        for legend in legends:
            assert [text.get_text() for text in legend.get_texts()] == expected
            assert "more than 25 boxes" in legend.get_title().get_text()
    crowd = Labelled("crowd", image, box.repeat(30, axis=0), list(range(30)), [f"class {n}" for n in range(30)])
    label_sheet([crowd], tmp_path / "a.png", "all")
    (legend,) = figures.pop().legends
    assert len(legend.get_texts()) == 20
    assert legend.get_title().get_text().endswith("boxes, and 10 more")
