"""Detections beside their ground truth, for a sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from lors_det.errors import InputError
from lors_det.reports.label_sheet import NUM_IMAGES, spread
from lors_det.reports.predictions import check_detections
from lors_det.reports.sheet import Labelled, write_sheet


def detection_sheet(
    dataset: BaseDataset,
    predictions: Sequence[dict[str, Any]],
    path: str | Path,
    *,
    num_images: int = NUM_IMAGES,
    score_threshold: float = 0.3,
) -> None:
    """Write a sheet of image pairs, ground truth on the left and detections on the right.

    Args:
        dataset: a detection dataset in test mode.
        predictions: what ``lors-det test --out`` wrote, one dict an image.
        path: PNG file to write.
        num_images: pairs, spread evenly over the set.
        score_threshold: detections below it are not drawn.

    Raises:
        InputError: if the predictions are of other images than the dataset's, or no detections of its classes.
    """
    if len(predictions) != len(dataset):
        raise InputError(
            f"{len(predictions)} predictions came with a set of {len(dataset)} images; they must be of one set"
        )
    check_detections(predictions, dataset)
    classes = dataset.metainfo["classes"]
    pairs = (
        sample
        for place in spread(len(dataset), num_images)
        for sample in _pair(dataset.get_data_info(place), predictions[place], classes, score_threshold)
    )
    write_sheet(pairs, Path(path), f"left: ground truth; right: detections, score {score_threshold:g} or more")


def _pair(
    info: dict[str, Any], prediction: dict[str, Any], classes: Sequence[str], threshold: float
) -> Iterator[Labelled]:
    """Ground truth and detections of an image."""
    path = Path(info["img_path"])
    if Path(prediction["img_path"]).name != path.name:
        raise InputError(f"the predictions are of {prediction['img_path']} where the set has {path}")
    image = cv2.imread(str(path))
    if image is None:
        raise InputError(f"image {path} cannot be read")
    rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    truth = [instance for instance in info["instances"] if not instance["ignore_flag"]]
    boxes = np.array([instance["bbox"] for instance in truth], float).reshape(-1, 4)
    labels = [instance["bbox_label"] for instance in truth]
    yield Labelled(path.name, rgb, boxes, labels, [classes[label] for label in labels])

    found = prediction["pred_instances"]
    kept = found["scores"] >= threshold
    order = found["scores"][kept].argsort(descending=True)
    boxes, scores = (found[name][kept][order].numpy() for name in ("bboxes", "scores"))
    labels = found["labels"][kept][order].tolist()
    yield Labelled("detections", rgb, boxes, labels, [classes[label] for label in labels], scores.tolist())
