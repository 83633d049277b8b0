"""What tells a run's data from another's."""

from __future__ import annotations

import copy

import pytest

from lors_det.plugin.data_contents import contents_of

ENTRIES = [
    {"img_path": "a/1.jpg", "width": 8, "height": 6, "instances": [{"bbox": [0.0, 1.0, 2.0, 3.0], "bbox_label": 0}]},
    {"img_path": "a/2.jpg", "width": 9, "height": 6, "instances": []},
    {
        "img_path": "a/3.jpg",
        "width": 8,
        "height": 6,
        "instances": [{"bbox": [1.0, 1.0, 4.0, 3.0], "bbox_label": 1}] * 2,
    },
]


def test_a_set_that_was_moved_or_renamed_is_the_same():
    moved = [{**entry, "img_path": f"b/new_{number}.jpg"} for number, entry in enumerate(ENTRIES)]
    assert contents_of(moved[::-1]) == contents_of(ENTRIES)
    assert contents_of(ENTRIES).startswith("3 images, 3 boxes, digest ")


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [(0, "bbox", [0.0, 1.0, 2.5, 3.0]), (0, "bbox_label", 1), (1, "width", 10)],
    ids=["box", "label", "size"],
)
def test_another_box_label_or_size_is_another_set(place, key, value):
    changed = copy.deepcopy(ENTRIES)
    (changed[place] if key == "width" else changed[place]["instances"][0])[key] = value
    assert contents_of(changed) != contents_of(ENTRIES)
    assert contents_of(ENTRIES[:2]).startswith("2 images, 1 box, digest ")
