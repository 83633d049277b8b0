"""Detections: chosen, drawn, and handed on to other libraries."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lors_det.data.drawn_boxes import colour_of
from lors_det.errors import InputError
from lors_det.inference import Detection, Detections

BOXES = np.array([[10, 30, 60, 80], [-20, 40, 300, 90.5], [70, 20, 90, 50]], np.float32)


def three(image=None) -> Detections:
    scores, labels = np.array([0.9, 0.5, 0.25], np.float32), np.array([1, 0, 1])
    return Detections(BOXES, scores, labels, classes=("dog", "кот"), image_size=(120, 100), image=image)


def canvas() -> np.ndarray:
    return np.full((100, 120, 3), 128, np.uint8)


def test_each_is_a_named_tuple_best_first():
    found = three()
    assert len(found) == 3
    first = next(iter(found))
    assert isinstance(first, Detection)
    assert (first.score, first.label, first.name) == (pytest.approx(0.9), 1, "кот")
    assert [name for _, _, _, name in found] == found.names == ["кот", "dog", "кот"]
    assert "кот 0.90, dog 0.50" in repr(found)


@pytest.mark.parametrize("key", [np.array([True, False, True]), [0, 2], (0, 2), slice(None, None, 2)], ids=str)
def test_masks_indices_and_slices_choose(key):
    chosen = three()[key]
    assert np.array_equal(chosen.boxes, BOXES[[0, 2]])
    assert chosen.names == ["кот", "кот"]
    assert chosen.image_size == (120, 100)


def test_one_and_none_are_detections_too():
    found = three()
    assert found[-1].boxes.shape == (1, 4)
    assert found[found.scores > 1].boxes.shape == (0, 4)
    assert list(found[found.scores > 1]) == []
    assert len(found[np.array([])]) == len(found[()]) == 0
    with pytest.raises(IndexError):
        found[3]


def test_selection_is_by_score_and_class():
    found = three()
    assert found.select(score_threshold=0.5).scores.tolist() == pytest.approx([0.9, 0.5])
    assert found.select(classes=["кот"], score_threshold=0.5).labels.tolist() == [1]
    assert len(found.select(classes=[])) == 0
    with pytest.raises(InputError, match="no class 'dgo'; did you mean dog"):
        found.select(classes=["dgo"])


def test_boxes_are_cut_to_the_image():
    beyond = Detections(
        np.array([[-20, 40, 300, 90.5], [125, 10, 140, 20], [5, 100, 9, 110], [1, 2, 3, 4]], np.float32),
        np.array([0.9, 0.8, 0.7, 0.6], np.float32),
        np.array([1, 0, 0, 1]),
        classes=("dog", "cat"),
        image_size=(120, 100),
    )
    cut = beyond.clip()
    assert cut.boxes.tolist() == [[0, 40, 120, 90.5], [1, 2, 3, 4]]
    assert cut.scores.tolist() == pytest.approx([0.9, 0.6])
    assert cut.labels.tolist() == [1, 1]
    assert beyond.boxes[0, 0] == -20


def test_the_picture_shows_each_box_in_its_classs_colour():
    image = canvas()
    drawn = three(image).draw()
    assert (image == 128).all(), "the image itself was drawn on"
    assert drawn.shape == image.shape
    assert tuple(drawn[80, 30]) == colour_of(1)  # the lower edges of two boxes
    assert tuple(drawn[90, 100]) == colour_of(0)
    assert tuple(drawn[60, 30]) == (128, 128, 128)
    assert np.array_equal(three(image)[[]].draw(), image)


def test_a_picture_needs_its_image():
    with pytest.raises(InputError, match="do not know their image"):
        three().draw()
    with pytest.raises(InputError, match="50 x 100 pixels, and the detections are of one of 120 x 100"):
        three().draw(np.zeros((100, 50, 3), np.uint8))


def test_pictures_are_saved_in_the_format_of_the_suffix(tmp_path):
    found = three(canvas())
    found.save(tmp_path / "a.png")
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], found.draw())
    from_file = Detections(
        found.boxes, found.scores, found.labels, found.classes, found.image_size, image=tmp_path / "a.png"
    )
    from_file.save(tmp_path / "b.JPG")
    assert cv2.imread(str(tmp_path / "b.JPG")).shape == (100, 120, 3)
    for path, words in ((tmp_path / "a.txt", "suffix must name"), (tmp_path / "no/a.png", "folder does not exist")):
        with pytest.raises(InputError, match=words):
            found.save(path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.JPG"}


def test_coco_entries_have_corner_and_size():
    first, second, _ = three().to_coco(7, category_ids=(30, 40))
    assert first == {"image_id": 7, "category_id": 40, "bbox": [10, 30, 50, 50], "score": pytest.approx(0.9)}
    assert second["bbox"] == [-20, 40, 320, 50.5]
    assert [entry["category_id"] for entry in three().to_coco("a")] == [2, 1, 2]


def test_supervision_gets_the_same():
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    given = three().to_supervision()
    assert isinstance(given, supervision.Detections)
    assert np.array_equal(given.xyxy, BOXES)
    assert given.class_id.tolist() == [1, 0, 1]
    assert given.confidence.tolist() == three().scores.tolist()
    assert given[given.confidence > 0.4].data["class_name"].tolist() == ["кот", "dog"]
    assert len(three()[[]].to_supervision()) == 0


def test_without_supervision_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match=r'pip install "lors_det\[supervision\]"'):
        three().to_supervision()


def test_paths_are_read_when_they_are_drawn(tmp_path):
    found = three(tmp_path / "later.png")
    with pytest.raises(InputError, match=r"later\.png does not exist"):
        found.draw()
    cv2.imwrite(str(Path(tmp_path / "later.png")), canvas())
    assert found.draw().shape == (100, 120, 3)
