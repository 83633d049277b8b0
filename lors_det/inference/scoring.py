"""Detections that were written for an annotation file, held against its boxes."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lors_det.data.words import counted
from lors_det.plugin.dataset import read_json

_FIGURES = ("AP", "AP50", "AP75", "small", "medium", "large")
"""The first of COCO's figures, in its order."""

_MOST = [100, 300, 1000]
"""Detections of an image that count: for AP the first, for the others the last, as in mmdet's metric."""

Ids = Mapping[int | str, int]


def score(
    results: Path, annotations: Path, classes: Sequence[str], warn: Callable[[str], object] = lambda words: None
) -> dict[str, float] | None:
    """COCO's figures, those of ``lors-det test``; None where there is no box to hold detections against.

    Boxes without an area are left out, as by that; so is what has no box or is of no image or category of the file,
    which that refuses, and ``warn`` is called with words on it. Ids of annotations count for nothing, of which
    pycocotools takes 0 for none.

    Args:
        results: list of results, as :class:`lors_det.inference.coco_results.CocoResults` writes them.
        annotations: COCO annotation file that it took; images without a result count as missed.
        classes: names of the categories that count.
        warn: called where annotations are left out that may be objects, which makes the figures too high.

    Returns:
        By name, AP, AP50, AP75, and AP of small, medium and large boxes; -1 where there are none of a size.
    """
    content = read_json(annotations)
    images: Ids = {image["id"]: number for number, image in enumerate(content["images"], 1)}
    named = [category["id"] for category in content["categories"] if category["name"] in classes]
    categories: Ids = {each: number for number, each in enumerate(named, 1)}
    entries = content.get("annotations")
    others = {each["id"]: 0 for each in content["categories"] if each["id"] not in categories}
    mine = (entry for entry in _listed(entries) if _of(entry.get("category_id"), others) is None)
    if lost := sum(_is_lost(entry, images, categories) for entry in mine):
        warn(
            f"{annotations}: {counted(lost, 'annotation')} without a box of four numbers, or of no image or category "
            "that it lists, left out: if these are objects, the figures are too high"
        )
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number} for number in images.values()],
        "categories": [{"id": number} for number in categories.values()],
        "annotations": list(_boxes(entries, images, categories)),
    }
    if all(box["iscrowd"] for box in truth.dataset["annotations"]):
        return None
    found = [
        {**each, "image_id": images[each["image_id"]], "category_id": categories[each["category_id"]]}
        for each in json.loads(results.read_bytes())
        if each["category_id"] in categories
    ]
    if not found:
        return dict.fromkeys(_FIGURES, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.params.maxDets = _MOST
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(_FIGURES, map(float, evaluation.stats)))


def _boxes(entries: Any, images: Ids, categories: Ids) -> Iterator[dict[str, Any]]:
    """The annotations that can be met, numbered from 1; what need not be written is filled in."""
    number = 0
    for entry in _listed(entries):
        image, category = (_of(entry.get(key), ids) for key, ids in (("image_id", images), ("category_id", categories)))
        box: Any = entry.get("bbox")
        if image is None or category is None or not _is_box(box) or min(box[2:]) <= 0:
            continue
        number += 1
        area: Any = entry.get("area")
        yield {
            "id": number,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": area if _is_number(area) and area > 0 else box[2] * box[3],
            "iscrowd": int(entry.get("iscrowd") == 1),
        }


def _listed(entries: Any) -> list[dict[str, Any]]:
    return [entry if isinstance(entry, dict) else {} for entry in entries] if isinstance(entries, list) else []


def _is_lost(entry: dict[str, Any], images: Ids, categories: Ids) -> bool:
    """Whether nobody can tell what an annotation is of, or where."""
    ids = ((entry.get(key), known) for key, known in (("image_id", images), ("category_id", categories)))
    return any(_of(name, known) is None for name, known in ids) or not _is_box(entry.get("bbox"))


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


def _of(name: Any, ids: Ids) -> int | None:
    return ids.get(name) if isinstance(name, (int, str)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
