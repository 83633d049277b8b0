"""Which detections of a set are right, matched with its objects as COCO's evaluation matches them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lors_det.errors import InputError
from lors_det.plugin.dataset import read_json
from lors_det.plugin.unwrapped import datasets_in
from lors_det.reports.operating_points import Matches
from lors_det.reports.predictions import check_detections


def matches_of(dataset: BaseDataset, predictions: Sequence[Mapping[str, Any]], *, iou: float) -> dict[str, Matches]:
    """Match detections with objects as COCO's evaluation does, each class by itself; crowds count neither way.

    Objects are those of the annotation file, as in ``lors-det test``, also such as training passes over.

    Detections take turns by their score, so that what a lower threshold adds changes no match of what was there.

    Args:
        dataset: a detection dataset in test mode.
        predictions: of its images, in their order.
        iou: that a match needs, 0..1.

    Returns:
        Of each class, in the order of labels.

    Raises:
        InputError: as :func:`lors_det.reports.predictions.check_detections`; or if two classes have one name.
    """
    names = dataset.metainfo["classes"]
    if len(set(names)) < len(names):
        raise InputError(f"the set's classes are {', '.join(names)}, two of one name; give each its own")
    check_detections(predictions, dataset)
    of_images = (objects for part in datasets_in(dataset) for objects in _objects(part))
    truth = [{"image_id": number, **each} for number, objects in enumerate(of_images) for each in objects]
    found: list[dict[str, Any]] = []
    for number, each in enumerate(predictions):
        for box, score, label in zip(
            *(each["pred_instances"][name].tolist() for name in ("bboxes", "scores", "labels"))
        ):
            found.append({"image_id": number, "category_id": label, **_box(box), "score": score})
    categories = [{"id": label, "name": name} for label, name in enumerate(names)]
    with redirect_stdout(io.StringIO()):  # pycocotools tells of its progress
        evaluation = COCOeval(*(_as_coco(len(predictions), categories, boxes) for boxes in (truth, found)), "bbox")
        evaluation.params.iouThrs = np.array([iou])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, float("inf")]], ["all"]
        evaluation.params.maxDets = [len(found)]
        evaluation.evaluate()
    parts = [part for part in evaluation.evalImgs if part is not None]
    return {name: _joined([part for part in parts if part["category_id"] == label]) for label, name in enumerate(names)}


def _objects(dataset: BaseDataset) -> Iterator[list[dict[str, Any]]]:
    """Of each image, the objects of the annotation file as COCO's evaluation takes them; else what the set gives."""
    if not hasattr(dataset, "cat2label"):
        for number in range(len(dataset)):
            yield [
                {
                    **_box(instance["bbox"]),
                    "category_id": instance["bbox_label"],
                    "iscrowd": int(instance["ignore_flag"]),
                }
                for instance in dataset.get_data_info(number)["instances"]
            ]
        return
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for entry in read_json(dataset.ann_file).get("annotations", []):  # a test set may have none
        if entry["category_id"] in dataset.cat2label:
            kept = {"bbox": entry["bbox"], "area": entry["bbox"][2] * entry["bbox"][3]}
            kept |= {"category_id": dataset.cat2label[entry["category_id"]], "iscrowd": int(entry.get("iscrowd") or 0)}
            by_image.setdefault(entry["image_id"], []).append(kept)
    for number in range(len(dataset)):
        yield by_image.get(dataset.get_data_info(number)["img_id"], [])


def _box(corners: Sequence[float]) -> dict[str, Any]:
    left, top, right, bottom = corners
    return {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}


def _as_coco(num_images: int, categories: list[dict[str, Any]], boxes: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in range(num_images)],
        "categories": categories,
        "annotations": [{**box, "id": number} for number, box in enumerate(boxes, start=1)],
    }
    coco.createIndex()
    return coco


def _joined(parts: Sequence[Mapping[str, Any]]) -> Matches:
    """A class's matches in all images, of what COCO's evaluation says of each."""
    scores = np.concatenate([np.zeros(0), *(part["dtScores"] for part in parts)])
    right = np.concatenate([np.zeros(0, bool), *(part["dtMatches"][0] > 0 for part in parts)])
    counts = ~np.concatenate([np.zeros(0, bool), *(part["dtIgnore"][0].astype(bool) for part in parts)])
    num_objects = sum(int((part["gtIgnore"] == 0).sum()) for part in parts)
    return Matches(num_objects, scores[right & counts], scores[~right & counts])
