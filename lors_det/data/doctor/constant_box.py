"""The best a detector can do that never looks: for each class the same box, at the same place of every image."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lors_det.data.doctor.table import Floats, Table, read_table
from lors_det.data.record import Finding, Split

MAX_IMAGES = 500
"""On which the boxes are scored, evenly spread over val: more change the figures little."""

GOOD_AP50 = 0.3
"""From here on a constant box is told of. It has 0.00 to 0.05 where objects lie anywhere."""

_NUM_CANDIDATES = 96
_NUM_BOXES = 1024
_STEPS = (0.75, 0.9, 1.0, 1.1, 1.33)


RelativeBox = tuple[float, float, float, float]


@dataclass(frozen=True)
class ConstantBox:
    """One box for each class of train, and what it scores on val."""

    boxes: dict[str, RelativeBox]
    """By class: centre x, centre y, width, height as parts of the image's."""
    scores: dict[str, float]
    """By class: its part of the boxes of train, the confidence of its box."""
    ap: float
    """COCO AP on val, 0 to 1; NaN if val has no boxes."""
    ap50: float
    num_images: int
    """On which it was scored."""


def best_constant_box(train_record: dict[str, Any], val_record: dict[str, Any]) -> ConstantBox:
    """Choose a box for each class on train, and score it on val. A detector that learns anything must beat it.

    Of the median box of a class, boxes of train and both made smaller and larger, the one is chosen that hits the most
    boxes of train with an IoU of 0.5, relative to the image's size; of equals, the one of the largest mean IoU.

    Args:
        train_record: COCO record, boxes in pixels, images with their sizes.
        val_record: the same; categories of both are matched by name.
    """
    train = read_table(Split("train", Path(), train_record, ""))
    return constant_box(train, read_table(Split("val", Path(), val_record, "")))


def constant_box(train: Table, val: Table) -> ConstantBox:
    """:func:`best_constant_box` of splits that are read already."""
    good = train.usable & ~train.crowd & (train.boxes[:, 2:] > 0).all(1)
    relative = _to_relative(train.boxes[good], train.size_of[good])
    labels = train.class_of[good]
    boxes: dict[str, RelativeBox] = {}
    scores: dict[str, float] = {}
    by_class = np.split(relative[np.argsort(labels, kind="stable")], np.cumsum(np.bincount(labels)))
    for name, of_class in zip(train.class_names, by_class):
        if len(of_class):
            x, y, width, height = _best(of_class).tolist()
            boxes[name] = (x, y, width, height)
            scores[name] = len(of_class) / len(relative)
    ap, ap50, num_images = _scored(boxes, scores, val)
    return ConstantBox(boxes, scores, ap, ap50, num_images)


def _to_relative(boxes: Floats, sizes: Floats) -> Floats:
    """x, y, width, height in pixels to centre x, centre y, width, height as parts of the image."""
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1) / np.tile(sizes, 2)


def _spread(count: int, most: int) -> Any:
    """Indices of at most ``most`` of ``count`` things, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _best(boxes: Floats) -> Floats:
    """The candidate that hits most of the boxes (n, 4)."""
    judged = boxes[_spread(len(boxes), _NUM_BOXES)]
    starts = np.concatenate([np.median(boxes, axis=0)[None], boxes[_spread(len(boxes), _NUM_CANDIDATES)]])
    chosen = starts[_rank(starts, judged)]
    scaled = [chosen * [1, 1, wide, high] for wide in _STEPS for high in _STEPS]
    return np.asarray(scaled[_rank(np.array(scaled), judged)])


def _rank(candidates: Floats, boxes: Floats) -> int:
    """Index of the best candidate: the number of hits counts, the mean IoU, below 1, decides between equals."""
    overlaps = _iou(candidates, boxes)
    return int(((overlaps >= 0.5).sum(1) + overlaps.mean(1)).argmax())


def _iou(one: Floats, other: Floats) -> Floats:
    """(n, m) of boxes (n, 4) and (m, 4), centre x, centre y, width, height."""
    low = np.maximum((one[:, :2] - one[:, 2:] / 2)[:, None], (other[:, :2] - other[:, 2:] / 2)[None])
    high = np.minimum((one[:, :2] + one[:, 2:] / 2)[:, None], (other[:, :2] + other[:, 2:] / 2)[None])
    shared = (high - low).clip(min=0).prod(-1)
    areas = one[:, 2:].prod(-1)[:, None] + other[:, 2:].prod(-1)[None]
    return np.asarray(shared / (areas - shared))


def _scored(boxes: dict[str, RelativeBox], scores: dict[str, float], val: Table) -> tuple[float, float, int]:
    """AP, AP50 and the number of images."""
    from pycocotools.coco import COCO  # here, since the rest of data/ needs none of it
    from pycocotools.cocoeval import COCOeval

    images = _spread(len(val.images), MAX_IMAGES) if val.images else np.zeros(0, int)
    images = images[np.isfinite(val.sizes[images]).all(1)]
    chosen = np.flatnonzero(val.usable & np.isin(val.image_of, images))
    truth = [
        {
            "id": number,
            "image_id": int(val.image_of[index]),
            "category_id": int(val.class_of[index]),
            "bbox": val.boxes[index].tolist(),
            "area": float(val.boxes[index, 2:].prod()),
            "iscrowd": int(val.crowd[index]),
        }
        for number, index in enumerate(chosen, start=1)
    ]
    results = []
    for label, name in enumerate(val.class_names):
        if name in boxes:
            part = np.array(boxes[name])
            corner = np.concatenate([part[:2] - part[2:] / 2, part[2:]])
            placed = corner * np.tile(val.sizes[images], 2)
            results += [
                {"image_id": int(image), "category_id": label, "bbox": box.tolist(), "score": scores[name]}
                for image, box in zip(images, placed)
            ]
    if not truth or not results:
        return (0.0 if truth else float("nan")), (0.0 if truth else float("nan")), len(images)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": int(image)} for image in images],
            "annotations": truth,
            "categories": [{"id": label, "name": name} for label, name in enumerate(val.class_names)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, -1]  # (IoU thresholds, recalls, classes)
    measured = precision[:, :, precision[0].max(0) > -1]  # classes with boxes
    return float(measured.mean()), float(measured[0].mean()), len(images)


def check_constant_box(train: Table, val: Table) -> Finding | None:
    """A warning if a constant box does well: figures of such a set say little about a detector."""
    found = constant_box(train, val)
    if not found.ap50 >= GOOD_AP50:
        return None
    name, box = max(found.boxes.items(), key=lambda item: found.scores[item[0]])
    what = f"one and the same box a class in every image, chosen on train, has AP50 {found.ap50:.2f}, AP {found.ap:.2f}"
    what += f" ({name}: centre {box[0]:.2f}, {box[1]:.2f}, size {box[2]:.2f} x {box[3]:.2f} of the image)"
    return Finding("constant-box", "warning", "val", what, "compare a detector's AP with it; vary where objects lie")
