"""A sheet shows each image with its boxes where they are, and says what it cannot write beside them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import ImageDraw

from lors_det.data.drawn_boxes import colour_of
from lors_det.reports.sheet import CELL_PX, GAP_PX, LINE_PX, Labelled, write_sheet

EDGES = 4  # pixels that enlarging may shift


@pytest.fixture
def words(monkeypatch) -> list[str]:
    """Texts that are drawn from here on."""
    seen: list[str] = []
    text = ImageDraw.ImageDraw.text

    def noted(pen, place, words, **others):
        seen.append(words)
        text(pen, place, words, **others)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    return seen


def test_boxes_are_drawn_where_they_are(tmp_path, words):
    """Of an image that is enlarged four times, and stays as high as it is wide."""
    image = np.full((120, 120, 3), 255, np.uint8)
    image[60:90, 30:90] = 128  # what the box is around
    box = np.array([[30.0, 60.0, 90.0, 90.0]])
    samples = [Labelled("a$b_{$.jpg", image, box, [3], ["$cat_{$"]), Labelled("b", image, box, [3], ["cat"], [0.456])]
    write_sheet(iter(samples), tmp_path / "a.png", "all")
    assert set(words) == {"all", "a$b_{$.jpg", "$cat_{$", "b", "cat 0.46"}
    drawn = cv2.cvtColor(cv2.imread(str(tmp_path / "a.png")), cv2.COLOR_BGR2RGB)
    assert drawn.shape[1] == GAP_PX + 2 * (CELL_PX + GAP_PX)
    top = drawn.shape[0] - GAP_PX - CELL_PX
    for left in (GAP_PX, CELL_PX + 2 * GAP_PX):
        cell = drawn[top : top + CELL_PX, left : left + CELL_PX]
        inside = np.nonzero((np.abs(cell.astype(int) - 128) < 12).all(-1))
        assert [inside[0].min(), inside[1].min()] == pytest.approx([240, 120], abs=EDGES)
        assert [inside[0].max(), inside[1].max()] == pytest.approx([360, 360], abs=EDGES)
        edges = np.nonzero((cell == colour_of(3)).all(-1))
        assert [edges[1].min(), edges[1].max(), edges[0].max()] == pytest.approx([120, 360, 360], abs=EDGES)


def test_what_is_hardly_an_image_and_a_long_name(tmp_path, words):
    line = Labelled("folder/" * 30 + "of one\nline.jpg", np.zeros((2, 3000, 3), np.uint8), np.empty((0, 4)), [], [])
    write_sheet([line], tmp_path / "line.png", "one")
    assert cv2.imread(str(tmp_path / "line.png")).shape[0] < 4 * LINE_PX
    assert words[-1].startswith("…")
    assert words[-1].endswith("/of one line.jpg")


def test_a_legend_names_the_classes_of_crowded_images(tmp_path, words):
    """Of those alone, in the order of their numbers."""
    image, box = np.zeros((40, 40, 3), np.uint8), np.array([[3.0, 3.0, 9.0, 9.0]])
    few = Labelled("few", image, box, [4], ["one"])
    many = Labelled("many", image, box.repeat(30, axis=0), [7, 2] * 15, ["_$z", "cat"] * 15)
    write_sheet([few, many], tmp_path / "a.png", "all")
    assert words == ["one", "all", "classes in images of more than 25 boxes:", "cat", "_$z", "few", "many"]
    words.clear()
    write_sheet([few], tmp_path / "a.png", "all")
    assert words == ["one", "all", "few"]
    words.clear()
    crowd = Labelled("crowd", image, box.repeat(30, axis=0), list(range(30)), [f"class {n}" for n in range(30)])
    write_sheet([crowd], tmp_path / "a.png", "all")
    assert words[1] == "classes in images of more than 25 boxes, and 10 more:"
    assert words[2:-1] == [f"class {n}" for n in range(20)]
