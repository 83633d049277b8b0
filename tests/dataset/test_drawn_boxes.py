"""Names are drawn in letters that can be read."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageDraw

from lors_det.data.drawn_boxes import colour_of, draw_boxes


@pytest.fixture
def places(monkeypatch) -> list[tuple[float, ...]]:
    """Left, top, right and bottom of the texts that are drawn from here on."""
    seen: list[tuple[float, ...]] = []
    text = ImageDraw.ImageDraw.text

    def noted(pen, place, words, **others):
        seen.append(pen.textbbox(place, words, font=others["font"]))
        text(pen, place, words, **others)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    return seen


@pytest.mark.parametrize("size", [(4000, 60), (96, 96), (120, 300)], ids=str)
@pytest.mark.parametrize("corner", ["first", "last"])
def test_a_text_stays_in_the_image(size, corner, places):
    width, height = size
    box = [2, 2, 20, 30] if corner == "first" else [width - 30, height - 30, width - 2, height - 2]
    image = np.full((height, width, 3), 90, np.uint8)
    drawn = draw_boxes(image, np.array([box]), labels=np.array([0]), texts=["construction vehicle 0.91"])
    ((left, top, right, bottom),) = places
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert (drawn[int(top) : int(bottom), int(left) : int(right)] != 90).any(2).all()  # its ground lies below all of it


def test_an_image_too_small_for_a_text_has_the_box_alone():
    image = np.full((20, 20, 3), 90, np.uint8)
    drawn = draw_boxes(image, np.array([[4, 4, 15, 15]]), labels=np.array([0]), texts=["triangle 0.91"])
    assert (drawn[7:13, 7:13] == 90).all()
    assert (drawn[4, 4:15] == colour_of(0)).all()


def test_texts_of_boxes_that_lie_together_do_not_cover_each_other(places):
    """The best one's is where it always is; where there is room no more, the others cover it from below."""
    image = np.zeros((300, 300, 3), np.uint8)
    box = np.array([100, 100, 160, 140])
    draw_boxes(image, box[None], labels=np.array([0]), texts=["cell 0.91"])
    (alone,) = places
    places.clear()
    boxes = np.stack([box, box + 2, box - 2])
    draw_boxes(image, boxes, labels=np.array([0, 1, 2]), texts=["cell 0.91", "cell 0.82", ""])
    second, first = places
    assert first == alone
    assert second[1] >= first[3] or second[3] <= first[1]
    places.clear()
    draw_boxes(image, box.repeat(20).reshape(4, 20).T, labels=np.zeros(20, int), texts=["cell 0.91"] * 20)
    assert places[-1] == alone
    assert len(places) == 20
    assert len(set(places)) == 4, "above, below and inside, above and below"
