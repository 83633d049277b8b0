"""Annotated sizes that are not the file's: which fault it is, and whose pixels the boxes are in."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lors_det.data.doctor import examine, repair


def errors(small):
    return {found.kind for found in examine(small.case(with_images=True)) if found.level != "note"}


def resize_record(small, size):
    for image in small.records["train"]["images"]:
        image["width"], image["height"] = size


def mended(small):
    table = repair(small.case(with_images=True), small.root).case.tables[0]
    np.testing.assert_array_equal(table.sizes, [(96, 64)] * 40)
    return table.boxes


@pytest.mark.parametrize("factor", [0.5, 2, 10 / 3])
def test_boxes_written_with_their_size_are_scaled_with_it(small, factor):
    boxes = small.boxes()
    resize_record(small, (round(96 * factor), round(64 * factor)))
    small.set_boxes(boxes * factor)
    assert errors(small) == {"scaled-size"}
    np.testing.assert_allclose(mended(small), boxes, atol=0.5)


@pytest.mark.parametrize("factor", [0.5, 2])
def test_boxes_of_the_file_stay_where_they_are(small, factor):
    boxes = small.boxes()
    resize_record(small, (round(96 * factor), round(64 * factor)))
    assert errors(small) == {"scaled-size"}
    np.testing.assert_array_equal(mended(small), boxes)


def test_swapped_sides_are_swapped_back(small):
    boxes = small.boxes()
    resize_record(small, (64, 96))
    assert errors(small) == {"swapped-size"}
    np.testing.assert_array_equal(mended(small), boxes)


def test_a_size_of_another_shape_is_left_to_its_owner(small):
    resize_record(small, (120, 100))
    assert errors(small) == {"wrong-size"}
    case = repair(small.case(with_images=True), small.root).case
    np.testing.assert_array_equal(case.tables[0].sizes, [(120, 100)] * 40)
    assert "wrong-size" in {found.kind for found in examine(case)}


def test_boxes_that_fit_the_file_alone_are_the_files(small):
    boxes = small.boxes()
    resize_record(small, (80, 80))
    np.testing.assert_array_equal(mended(small), boxes)


def test_a_pixel_more_or_less_is_a_note(small):
    resize_record(small, (97, 64))
    assert {(found.kind, found.level) for found in examine(small.case(with_images=True))} == {
        ("size-off-by-one", "note")
    }


@pytest.mark.parametrize("drawn_on", ["stored", "displayed"])
def test_sizes_as_stored_of_images_that_are_turned(small, drawn_on):
    """Orientation 6: displayed turned clockwise, a box's top becomes its right."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for image in small.records["train"]["images"]:
        Image.open(small.root / image["file_name"]).save(small.root / image["file_name"], exif=exif)
    x, y, w, h = small.boxes().T
    displayed = np.stack([64 - y - h, x, h, w], axis=1)
    if drawn_on == "displayed":
        small.set_boxes(displayed)
    assert errors(small) == {"exif-size"}
    table = repair(small.case(with_images=True), small.root).case.tables[0]
    np.testing.assert_array_equal(table.sizes, [(64, 96)] * 40)
    np.testing.assert_allclose(table.boxes, displayed)


def test_without_images_sizes_are_not_judged(small):
    resize_record(small, (960, 640))
    assert not examine(small.case())


@pytest.mark.parametrize("odd", [0, 39])
def test_an_image_that_is_annotated_smaller_says_nothing_of_those_annotated_larger(small, odd):
    """Whichever is listed first."""
    boxes = small.boxes()
    resize_record(small, (192, 128))
    small.records["train"]["images"][odd].update(width=48, height=32)
    boxes[2 * odd : 2 * odd + 2] /= 2  # of the odd one they lie in its annotated pixels
    small.set_boxes(boxes)
    assert errors(small) == {"scaled-size"}
    found = mended(small)
    others = np.delete(np.arange(80), [2 * odd, 2 * odd + 1])
    np.testing.assert_array_equal(found[others], boxes[others])
    np.testing.assert_allclose(found[2 * odd : 2 * odd + 2], boxes[2 * odd : 2 * odd + 2] * 2)


def test_listings_of_one_file_in_two_sizes_keep_their_boxes_where_they_are(small):
    """Each listing's boxes are in the pixels of its own size."""
    train = small.records["train"]
    boxes = small.boxes()
    train["images"].append({**train["images"][3], "id": 99, "width": 192, "height": 128})
    train["annotations"][7].update(image_id=99, bbox=(boxes[7] * 2).tolist())
    boxes[7, :2], boxes[7, 2:] = (50, 30), (40, 30)
    train["annotations"][7]["bbox"] = (boxes[7] * 2).tolist()  # beyond the file's own pixels
    found = mended(small)
    np.testing.assert_allclose(found, boxes)
    case = repair(
        small.case(), small.root
    ).case  # the files are not looked at, and neither listing is known to be wrong
    assert len(case.tables[0].images) == 41
    assert case.tables[0].annotations[7]["bbox"] == [100, 60, 80, 60]
