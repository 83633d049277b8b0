"""The same box in every image: what it scores where objects always lie alike, and where they do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lors_det.data.doctor import best_constant_box, examine


def found(small):
    return best_constant_box(small.records["train"], small.records["val"])


def test_objects_that_always_lie_alike_need_no_looking(small):
    for split in ("train", "val"):
        small.set_boxes([(24, 16, 48, 32), (0, 0, 24, 16)] * 40, split)
    best = found(small)
    assert best.boxes == {
        "raccoon": pytest.approx((0.5, 0.5, 0.5, 0.5)),
        "badger": pytest.approx((1 / 8,) * 2 + (1 / 4,) * 2),
    }
    assert best.scores == {"raccoon": 0.5, "badger": 0.5}
    assert (best.ap, best.ap50, best.num_images) == (1, 1, 16)
    kinds = {finding.kind: finding.level for finding in examine(small.case())}
    assert kinds == {"constant-box": "warning"}


def test_it_is_relative_to_the_image(small):
    """Val in another size, the same place."""
    small.set_boxes([(24, 16, 48, 32)] * 80)
    small.set_boxes([(48, 8, 96, 16)] * 32, "val")
    for image in small.records["val"]["images"]:
        image["width"], image["height"] = 192, 32
    assert found(small).ap == 1


def test_objects_that_lie_anywhere_need_looking(small):
    assert found(small).ap50 < 0.3
    assert not examine(small.case())


def test_ap_is_the_mean_over_classes(small):
    for split in ("train", "val"):
        boxes = small.boxes(split)
        boxes[::2] = (24, 16, 48, 32)
        small.set_boxes(boxes, split)
    alone = found(small)
    small.records["val"]["annotations"] = [a for a in small.records["val"]["annotations"] if a["category_id"] == 2]
    badgers = found(small)
    assert alone.ap50 == pytest.approx((1 + badgers.ap50) / 2)


def test_the_chosen_box_hits_no_less_than_the_median(small):
    best = found(small)
    boxes = small.boxes()
    relative = np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1) / (96, 64, 96, 64)
    for label, box in enumerate(best.boxes.values()):
        mine = relative[label::2]
        assert hits(np.array(box), mine) >= max(1, hits(np.median(mine, axis=0), mine))


def hits(box: np.ndarray, boxes: np.ndarray) -> int:
    low = np.maximum(box[:2] - box[2:] / 2, boxes[:, :2] - boxes[:, 2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2)
    shared = (high - low).clip(0).prod(1)
    return int((shared / (box[2:].prod() + boxes[:, 2:].prod(1) - shared) >= 0.5).sum())


def test_classes_are_matched_by_name(small):
    for split in ("train", "val"):
        small.set_boxes([(24, 16, 48, 32), (0, 0, 24, 16)] * 40, split)
    small.records["val"]["categories"] = [{"id": 2, "name": "badger"}, {"id": 1, "name": "raccoon"}]
    assert found(small).ap == 1


def test_val_without_boxes_measures_nothing(small):
    small.records["val"]["annotations"] = []
    assert math.isnan(found(small).ap)


def test_train_without_boxes_finds_nothing(small):
    small.records["train"]["annotations"] = []
    assert found(small).ap == 0
