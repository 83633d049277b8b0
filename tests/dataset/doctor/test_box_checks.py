"""Single boxes, and the form of all of them."""

from __future__ import annotations

import numpy as np
import pytest

from lors_det.data.doctor import examine, repair
from lors_det.data.doctor.box_form import in_pixels, recognise_form
from lors_det.data.doctor.table import read_table


def kinds(small, **options):
    return {(found.kind, found.level) for found in examine(small.case(**options))}


def test_a_clean_set_has_no_findings(small):
    assert examine(small.case(with_images=True)) == ()


@pytest.mark.parametrize(
    ("box", "kind", "level"),
    [
        ((10, 10, 0, 5), "no-area", "warning"),
        ((10, 10, 5, -1), "no-area", "warning"),
        ((-20, 10, 20, 5), "outside", "warning"),
        ((96, 10, 20, 5), "outside", "warning"),
        ((80, 10, 30, 30), "partly-outside", "warning"),
        ((80, 10, 17.5, 30), "partly-outside", "note"),
        ((0, 0, 96, 64), "whole-image", "note"),
        ((10, 10, 80, 2), "aspect", "note"),
    ],
)
def test_each_is_found(small, box, kind, level):
    small.records["train"]["annotations"][3]["bbox"] = list(box)
    assert kinds(small) == {(kind, level)}


def test_less_than_a_pixel_is_not_trained_on(small):
    small.records["train"]["annotations"][3]["bbox"] = [10, 10, 0.1, 0.1]
    assert kinds(small) == {("tiny", "note"), ("below-a-pixel", "note")}


def test_crowds_are_counted(small):
    for annotation in small.records["train"]["annotations"][:3]:
        annotation["iscrowd"] = 1
    assert ("crowd", "note") in kinds(small)
    (found,) = (each for each in examine(small.case()) if each.kind == "crowd")
    assert found.what.startswith("3 boxes of ")


@pytest.mark.parametrize("box", [(-1, -1, 30, 30), (66, 34, 31, 31), (10, 10, 60, 3)])
def test_roundings_and_long_boxes_are_fine(small, box):
    small.records["train"]["annotations"][3]["bbox"] = list(box)
    assert kinds(small) == set()


def test_tiny_is_judged_at_the_size_of_training(small):
    small.records["train"]["annotations"][3]["bbox"] = [10, 10, 4, 4]
    assert kinds(small, training_size=(96, 64)) == set()
    assert kinds(small, training_size=(40, 30)) == {("tiny", "note")}


def test_many_of_a_kind_are_a_warning(small):
    small.set_boxes([(0, 0, 96, 64)] * 30)
    assert {("whole-image", "note"), ("many-whole-image", "warning")} <= kinds(small)


def test_images_without_boxes_are_counted(small):
    small.records["train"]["annotations"] = small.records["train"]["annotations"][:60]
    (finding,) = examine(small.case())
    assert (finding.kind, finding.level) == ("empty-images", "note")
    assert "10 of 40 images (25.0%)" in finding.what
    small.records["train"]["annotations"] = []
    assert ("no-box", "error") in kinds(small)


def other_form(boxes, form):
    boxes = boxes / (96, 64, 96, 64) if "relative" in form else boxes
    if "corners" in form:
        return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], 1) if "centre" in form else boxes


@pytest.mark.parametrize("form", ["corners", "centre", "relative", "relative centre", "relative corners"])
@pytest.mark.parametrize("noise", [0, 1])
def test_another_form_is_recognised_and_converted(small, form, noise):
    """Also where one box is broken besides."""
    boxes = small.boxes()
    changed = other_form(boxes, form)
    changed[:noise, 2] = 0
    small.set_boxes(changed)
    assert recognise_form(read_table(small.folder.splits["train"])) == form
    np.testing.assert_allclose(in_pixels(changed, np.full((80, 2), (96, 64)), form)[noise:], boxes[noise:], atol=1e-9)
    found = [finding for finding in examine(small.case()) if finding.level == "error"]
    assert [finding.kind for finding in found] == [f"box-form-{form.replace(' ', '-')}"]


@pytest.mark.parametrize("seed", range(20))
def test_boxes_in_pixels_are_taken_for_nothing_else(small, seed):
    """Not even where a few lie wrong."""
    rng = np.random.default_rng(seed)
    sides = rng.uniform(2, 60, (80, 2))
    corner = rng.uniform(0, 1, (80, 2)) * ((96, 64) - sides).clip(0)
    boxes = np.concatenate([corner, np.minimum(sides, (96, 64))], axis=1)
    boxes[:3, 0] += 40
    small.set_boxes(boxes)
    assert recognise_form(read_table(small.folder.splits["train"])) is None


def test_a_form_that_cannot_be_told_is_not_converted(small):
    small.set_boxes([(0.4, 0.4, 0.2, 0.2)] * 80)
    (finding,) = [found for found in examine(small.case()) if found.level == "error"]
    assert finding.kind == "box-form-relative"
    assert "cannot be told" in finding.what
    case = repair(small.case(), small.root).case
    assert "box-form-relative" in {found.kind for found in examine(case)}


def test_clipping_keeps_what_lies_in_the_image(small):
    small.records["train"]["annotations"][3]["bbox"] = [80, -10, 30, 30]
    small.records["train"]["annotations"][3]["segmentation"] = [[80, -10, 110, -10, 110, 20]]
    mended = repair(small.case(), small.root).case.tables[0].annotations[3]
    assert mended["bbox"] == [80, 0, 16, 20]
    assert mended["area"] == 320
    assert "segmentation" not in mended


@pytest.mark.parametrize("form", ["corners", "relative corners"])
def test_boxes_of_an_image_without_a_size_do_not_stay_in_another_form(small, form):
    """Corners in pixels need no size; without one, parts of it tell nothing."""
    boxes = small.boxes()
    other = boxes.copy()
    other[:, 2:] += other[:, :2]
    small.set_boxes(other / np.tile([96, 64], 2) if form.startswith("relative") else other)
    del small.records["train"]["images"][5]["width"]
    mended = repair(small.case(), small.root)
    kept = np.array([each["bbox"] for each in mended.case.tables[0].annotations])
    if form == "corners":
        np.testing.assert_allclose(kept, boxes)
    else:
        np.testing.assert_allclose(kept, np.delete(boxes, [10, 11], axis=0))
        assert any("2 boxes that cannot be converted dropped" in action for action in mended.actions)
