"""COCO 2017 as its authors publish it: what a folder has to hold, and a look at whether it does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from lors_det.data.doctor.image_facts import ends_early
from lors_det.errors import InputError

READERS = 16
"""Threads that look at images; most of their time they wait for a file system."""


class Split(NamedTuple):
    """What a split is to hold."""

    name: str
    images: int
    annotations: int

    def annotation_file(self, root: Path) -> Path:
        """Where it lies in the folder of COCO."""
        return root / f"annotations/instances_{self.name}.json"


SPLITS = (Split("train2017", 118287, 860001), Split("val2017", 5000, 36781))


def check_coco(root: Path, splits: tuple[Split, ...] = SPLITS) -> Iterator[str]:
    """What a folder holds of COCO 2017, a line for each split, and one for images that seem to be cut off.

    Raises:
        InputError: if a file, images or annotations are missing, there are others, or an image is empty.
    """
    for split in splits:
        path = split.annotation_file(root)
        if not path.is_file():
            raise InputError(f"{path} does not exist; lors-det prepare-coco {root} downloads it")
        names, num_annotations = _read(path)
        if (len(names), num_annotations) != (split.images, split.annotations):
            raise InputError(
                f"{path} has {len(names)} images and {num_annotations} annotations, where COCO's own has "
                f"{split.images} and {split.annotations}; rename it to download COCO's"
            )
        folder = root / split.name
        sizes = _sizes(folder)
        if lacking := sorted(name for name in names if name not in sizes):
            raise InputError(
                f"{folder} lacks {len(lacking)} of {len(names)} images, {lacking[0]} the first of them; "
                f"lors-det prepare-coco {root} downloads them"
            )
        if empty := sorted(name for name in names if not sizes[name]):
            raise InputError(
                f"{folder} has {len(empty)} empty images, {empty[0]} the first of them; "
                f"lors-det prepare-coco {root} downloads them again"
            )
        yield f"{split.name}: {len(names)} images, {num_annotations} annotations"
        if cut := _cut(folder, sorted(names)):
            yield (
                f"mind: {len(cut)} images of {folder} end too early, {cut[0]} the first of them, and a training may "
                f"stop at them; remove them, and lors-det prepare-coco {root} downloads them again"
            )


def has_images(root: Path, split: Split) -> bool:
    """Whether a folder has the images of a split, none of them empty; by their number where no file names them yet."""
    sizes = _sizes(root / split.name)
    path = split.annotation_file(root)
    if path.is_file():
        with suppress(InputError):
            return all(sizes.get(name) for name in _read(path)[0])
    return sum(1 for name, size in sizes.items() if size and name.endswith(".jpg")) >= split.images


def _read(path: Path) -> tuple[list[str], int]:
    """Names of the images of an annotation file, and the number of its annotations."""
    try:
        content: Any = json.loads(path.read_bytes())
        return [str(image["file_name"]) for image in content["images"]], len(content["annotations"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no annotation file of COCO ({error!r}); remove it to download it again") from error


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file in a folder, by its name; none where there is no folder."""
    return {entry.name: entry.stat().st_size for entry in os.scandir(folder)} if folder.is_dir() else {}


def _cut(folder: Path, names: list[str]) -> list[str]:
    """Those of the images whose end is missing, as after a copy that broke off."""
    with ThreadPoolExecutor(READERS) as pool:
        return [name for name, cut in zip(names, pool.map(ends_early, (f"{folder}/{name}" for name in names))) if cut]
