"""Annotated images for a sheet: whether labels lie where they should is seen, not computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lors_det.data.record import Split
from lors_det.reports.sheet import Labelled

NUM_IMAGES = 12


def of_split(split: Split, number: int = NUM_IMAGES) -> Iterator[Labelled]:
    """Images spread evenly over those of a split that have boxes, as they lie; what cannot be read is passed over."""
    boxes: dict[Any, list[dict[str, Any]]] = {}
    for each in split.content["annotations"]:
        boxes.setdefault(each["image_id"], []).append(each)
    places = {each["id"]: place for place, each in enumerate(split.content["categories"])}
    names = [each["name"] for each in split.content["categories"]]
    images = [each for each in split.content["images"] if each["id"] in boxes]
    for place in spread(len(images), number):
        path = split.image_root / images[place]["file_name"]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            continue
        own = boxes[images[place]["id"]]
        labels = [places[each["category_id"]] for each in own]
        corners = np.array([each["bbox"] for each in own], float).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        yield Labelled(images[place]["file_name"], _rgb(image), corners, labels, [names[label] for label in labels])


def of_training(dataset: Any, number: int = NUM_IMAGES) -> Iterator[Labelled]:
    """Images spread evenly over a training set of mmdet's, as its pipeline gives them: what is learned from."""
    classes = dataset.metainfo["classes"]
    for place in spread(len(dataset), number):
        sample = dataset[place]
        found = sample["data_samples"].gt_instances
        labels = found.labels.tolist()
        boxes = getattr(found.bboxes, "tensor", found.bboxes).numpy()
        image = sample["inputs"].permute(1, 2, 0).numpy()
        title = Path(sample["data_samples"].img_path).name
        yield Labelled(title, _rgb(image), boxes, labels, [classes[label] for label in labels])


def spread(count: int, number: int) -> list[int]:
    """Places of ``number`` of ``count``, evenly apart."""
    return np.linspace(0, count - 1, min(count, number)).round().astype(int).tolist()


def _rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    # some transforms leave numbers beyond those of pixels
    return np.ascontiguousarray(image[..., ::-1].clip(0, 255), dtype=np.uint8)
