"""A clean set of small pictures, and a real one where it is present."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lors_det.data.doctor import Case, open_case
from lors_det.data.record import DataFolder, Split

SIZE = (96, 64)
CLASSES = ("raccoon", "badger")


class SmallSet:
    """40 pictures of noise to train on and 16 to validate, with two boxes each; records to change before looking."""

    def __init__(self, root: Path) -> None:
        self.root = root
        rng = np.random.default_rng(0)
        self.records: dict[str, dict[str, Any]] = {}
        for split, count in (("train", 40), ("val", 16)):
            images, annotations = [], []
            for number in range(count):
                name = f"{split}{number}.jpg"
                images.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
                pixels = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC)
                cv2.imwrite(str(root / name), pixels)
                for label in (1, 2):
                    width, height = rng.integers(8, 40, 2)
                    # some touch the edges, as objects do: what form boxes are in can be told from them alone
                    x, y = np.clip(rng.integers(-10, (96 - width + 10, 64 - height + 10)), 0, (96 - width, 64 - height))
                    annotations.append(box(len(annotations) + 1, number, label, (x, y, width, height)))
            categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES, start=1)]
            self.records[split] = {"images": images, "annotations": annotations, "categories": categories}

    @property
    def folder(self) -> DataFolder:
        splits = {name: Split(name, self.root, content, name) for name, content in self.records.items()}  # type: ignore[arg-type]
        return DataFolder(self.root, "COCO", CLASSES, splits)

    def case(self, *, with_images: bool = False, **options: Any) -> Case:
        return open_case(self.folder, with_images=with_images, **options)

    def set_boxes(self, boxes: Sequence[Sequence[float]], split: str = "train") -> None:
        """Give the annotations of a split other boxes."""
        for annotation, new in zip(self.records[split]["annotations"], boxes):
            annotation["bbox"] = list(new)

    def boxes(self, split: str = "train") -> np.ndarray:
        return np.array([annotation["bbox"] for annotation in self.records[split]["annotations"]], float)


def box(number: int, image: int, label: int, xywh: Sequence[float]) -> dict[str, Any]:
    x, y, width, height = (float(value) for value in xywh)
    entry = {"id": number, "image_id": image, "category_id": label, "iscrowd": 0}
    return {**entry, "bbox": [x, y, width, height], "area": width * height}


@pytest.fixture
def small(tmp_path: Path) -> SmallSet:
    root = tmp_path / "small"
    root.mkdir()
    return SmallSet(root)
