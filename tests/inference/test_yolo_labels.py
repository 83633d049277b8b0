"""Label files hold what was found, as the reader of YOLO's form reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lors_det.data.yolo.labels import parse_line
from lors_det.errors import InputError
from lors_det.inference.detections import Detections
from lors_det.inference.yolo_labels import YoloLabels

CLASSES = ("fish", "two words")


def found(*boxes: tuple[float, ...]) -> Detections:
    """Of classes in turn, in an image of 200 x 100 pixels."""
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.full(len(boxes), 0.5, np.float32),
        labels=np.arange(len(boxes)) % len(CLASSES),
        classes=CLASSES,
        image_size=(200, 100),
    )


def test_a_reader_finds_the_same_boxes(tmp_path):
    labels = YoloLabels(tmp_path / "labels", CLASSES, [Path("sub/a.b.jpg"), Path("none.png")])
    labels.add(Path("sub/a.b.jpg"), found((10, 20, 30, 40), (-5, 50, 205, 120), (210, 0, 220, 10)))
    labels.add(Path("none.png"), found())
    lines = (tmp_path / "labels/sub/a.b.txt").read_text().splitlines()
    boxes = [parse_line(line, num_classes=len(CLASSES)) for line in lines]
    assert [box.class_id for box in boxes] == [0, 1], "what lies outside the image is no label"
    corners = [[box.left * 200, box.top * 100, box.right * 200, box.bottom * 100] for box in boxes]
    np.testing.assert_allclose(corners, [[10, 20, 30, 40], [0, 50, 200, 100]], atol=2e-4)
    assert (tmp_path / "labels/none.txt").read_text() == ""
    assert (tmp_path / "labels/classes.txt").read_text() == "fish\ntwo words\n"


def test_labels_of_people_are_not_written_over(tmp_path):
    (tmp_path / "a.txt").write_text("drawn by hand")
    with pytest.raises(InputError, match=r"holds a\.txt; name a new or empty folder"):
        YoloLabels(tmp_path, CLASSES, [])
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_two_images_have_no_file_in_common(tmp_path):
    """Which is found before there is anything, so that the same folder will do once they are renamed."""
    for name, other in (("a.png", "a.jpg"), ("classes.jpg", "the classes")):
        with pytest.raises(InputError, match=rf"would be of {name} and of {other}; give the images names"):
            YoloLabels(tmp_path / "labels", CLASSES, [Path("b/a.jpg"), Path("a.jpg"), Path(name)])
    assert not (tmp_path / "labels").exists()
