"""The images that validate where a set has no val split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from lors_det.data.chosen_val import chosen_for_val
from lors_det.data.splits import part_of
from lors_det.errors import InputError


def record(names: Iterable[str], labels: Sequence[Iterable[int]] | None = None) -> dict[str, Any]:
    """A COCO record of images with a box of each of their labels; all have one of class 1 where none are given."""
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    annotations = [
        {"image_id": image["id"], "category_id": label, "iscrowd": 0}
        for image in images
        for label in ([1] if labels is None else labels[image["id"]])
    ]
    return {"images": images, "annotations": annotations}


def classes(content: dict[str, Any], chosen: set[str], *, val: bool) -> set[int]:
    return {annotation["category_id"] for annotation in part_of(content, chosen, keep=val)["annotations"]}


NAMES = [f"photo {number}.jpg" for number in range(5000)]


@pytest.mark.parametrize("number", [2, 3, 5, 24, 100, 5000])
@pytest.mark.parametrize("fraction", [1e-9, 0.2, 0.5, 1 - 1e-9])
def test_the_share_is_exact(number: int, fraction: float) -> None:
    chosen = chosen_for_val(record(NAMES[:number]), fraction)
    assert len(chosen) == min(max(1, round(fraction * number)), number - 1)
    assert chosen <= set(NAMES)


def test_the_order_of_the_record_says_nothing() -> None:
    assert chosen_for_val(record(reversed(NAMES)), 0.2) == chosen_for_val(record(NAMES), 0.2)
    assert chosen_for_val(record(NAMES), 0.2) < chosen_for_val(record(NAMES), 0.3)


def test_added_images_move_few_others() -> None:
    before, after = (chosen_for_val(record(NAMES[:number]), 0.2) for number in (4000, 5000))
    assert len(before ^ (after & set(NAMES[:4000]))) < 80  # of 4000; four standard deviations are 63


def test_augmented_copies_stay_together() -> None:
    names = [f"p{number}_jpg.rf.{copy * 3:08x}.jpg" for number in range(200) for copy in range(5)]
    chosen = chosen_for_val(record(names), 0.4)
    sides = [{name in chosen for name in names[start : start + 5]} for start in range(0, 1000, 5)]
    assert all(len(side) == 1 for side in sides)
    assert len(chosen) == 400


def test_copies_of_a_single_picture_are_divided() -> None:
    names = [f"p_jpg.rf.{copy:08x}.jpg" for copy in range(10)]
    assert len(chosen_for_val(record(names), 0.2)) == 2


def test_a_picture_with_most_of_the_copies_is_not_taken() -> None:
    names = [f"p_jpg.rf.{copy:08x}.jpg" for copy in range(90)]
    for number in range(20):  # whichever comes first by its name
        others = [f"other {number} {index}.jpg" for index in range(10)]
        assert chosen_for_val(record([*names, *others]), 0.1) <= set(others)


@pytest.mark.parametrize("number", range(3, 12))
@pytest.mark.parametrize("num_boxed", [2, 3])
def test_both_sides_have_boxes(number: int, num_boxed: int) -> None:
    """Few images with boxes among others: wherever they are in the order."""
    for first in range(number - num_boxed + 1):
        labels = [[1] if first <= index < first + num_boxed else [] for index in range(number)]
        content = record(NAMES[:number], labels)
        chosen = chosen_for_val(content, 0.2)
        assert classes(content, chosen, val=True) == classes(content, chosen, val=False) == {1}
        assert len(chosen) == max(1, round(0.2 * number))


def test_train_keeps_the_only_image_with_boxes() -> None:
    for index in range(5):
        content = record(NAMES[:5], [[1] if number == index else [] for number in range(5)])
        assert classes(content, chosen_for_val(content, 0.2), val=False) == {1}


def test_train_keeps_every_class() -> None:
    """Each of 20 images may be the one that has a rare class, and five classes have four images each."""
    for rare in range(20):
        labels = [[1, 10 + number // 4] + [2] * (number == rare) for number in range(20)]
        content = record(NAMES[:20], labels)
        chosen = chosen_for_val(content, 0.4)
        assert classes(content, chosen, val=False) == {1, 2, 10, 11, 12, 13, 14}
        assert len(chosen) == 8


def test_boxes_in_val_go_before_classes_in_train() -> None:
    content = record(NAMES[:2], [[1], [2]])
    assert len(classes(content, chosen_for_val(content, 0.2), val=True)) == 1


def test_crowds_are_nothing_to_validate_on() -> None:
    content = record(NAMES[:20], [[1]] * 20)
    alone = sorted(NAMES[:20])[3]
    for annotation in content["annotations"]:
        annotation["iscrowd"] = int(content["images"][annotation["image_id"]]["file_name"] not in (alone, NAMES[7]))
    assert chosen_for_val(content, 0.1) & {alone, NAMES[7]}


def test_bounds() -> None:
    for fraction in (0, 1, -1, float("nan")):
        with pytest.raises(InputError, match="share of val"):
            chosen_for_val(record("ab"), fraction)
    with pytest.raises(InputError, match=r"1 image cannot be split .* at least 2"):
        chosen_for_val(record("aa"), 0.5)
