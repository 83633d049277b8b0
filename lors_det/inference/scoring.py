"""Detections that were written for an annotation file, held against its boxes."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lors_det.plugin.dataset import read_json

_FIGURES = ("AP", "AP50", "AP75", "small", "medium", "large")
"""The first of COCO's figures, in its order."""

_MOST = [100, 300, 1000]
"""Detections of an image that count: for AP the first, for the others the last, as in mmdet's metric."""

Ids = Mapping[int | str, int]


def score(results: Path, annotations: Path, classes: Sequence[str]) -> dict[str, float] | None:
    """COCO's figures, those of ``lors-det test``; None where there is no box to hold detections against.

    As it reads annotations, these do: boxes that are none are left out, and their ids count for nothing, of which
    pycocotools takes 0 for none.

    Args:
        results: list of results, as :class:`lors_det.inference.coco_results.CocoResults` writes them.
        annotations: COCO annotation file that it took; images without a result count as missed.
        classes: names of the categories that count.

    Returns:
        By name, AP, AP50, AP75, and AP of small, medium and large boxes; -1 where there are none of a size.
    """
    content = read_json(annotations)
    images: Ids = {image["id"]: number for number, image in enumerate(content["images"], 1)}
    named = [category["id"] for category in content["categories"] if category["name"] in classes]
    categories: Ids = {each: number for number, each in enumerate(named, 1)}
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number} for number in images.values()],
        "categories": [{"id": number} for number in categories.values()],
        "annotations": list(_boxes(content.get("annotations"), images, categories)),
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
    for entry in entries if isinstance(entries, list) else ():
        entry = entry if isinstance(entry, dict) else {}
        image, category = (_of(entry.get(key), ids) for key, ids in (("image_id", images), ("category_id", categories)))
        box: Any = entry.get("bbox")
        if image is None or category is None:
            continue
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box)) and min(box[2:]) > 0):
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


def _of(name: Any, ids: Ids) -> int | None:
    return ids.get(name) if isinstance(name, (int, str)) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
