"""A synthetic detection set in COCO format, generated in seconds.

It is small, yet hard enough to tell a working detector from a broken one.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lors_det.data.drawing import CROWDED, PLAIN, Scenes, render_image
from lors_det.errors import InputError

SPLITS = ("train", "val")
MIN_IMAGE_SIZE_PX = 64
MAX_IMAGE_SIZE_PX = 4096  # an image is drawn in memory, its masks beside it

_RECIPE = 1  # raise it when the drawing changes, so that a set of the old kind is not taken for a new one
_JPEG_QUALITY = 92


def _split(folder: Path, *, split: str, num_images: int, info: dict[str, Any], scenes: Scenes) -> dict[str, Any]:
    """Writes a split's images into `folder` and returns its COCO record."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    size = info["image_size"]
    folder.mkdir(parents=True)
    for index in range(num_images):
        seeds = np.random.SeedSequence([info["seed"], SPLITS.index(split), index, size])
        image, shapes = render_image(np.random.Generator(np.random.PCG64(seeds)), size, scenes)
        name = f"{index:06d}.jpg"
        if not cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]):
            raise OSError(f"cannot write {folder / name}")
        images.append({"id": index, "file_name": name, "width": size, "height": size})
        for shape in shapes:
            record = {"id": len(annotations) + 1, "image_id": index, "category_id": shape.class_index + 1}
            area = int(np.count_nonzero(shape.mask))
            annotations.append({**record, "bbox": list(shape.box_xywh), "area": area, "iscrowd": 0})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(scenes.classes)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return {"info": info, "licenses": [], **content}


def _holds(root: Path, info: dict[str, Any]) -> bool:
    try:
        sets = [json.loads((root / "annotations" / f"{split}.json").read_text()) for split in SPLITS]
        there = [len(list((root / split).glob("*.jpg"))) for split in SPLITS]
        return all(content["info"] == info and len(content["images"]) == number for content, number in zip(sets, there))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def generate_shapes(
    root: Path,
    *,
    num_train: int = 2000,
    num_val: int = 250,
    image_size: int = 128,
    seed: int = 0,
    crowded: bool = False,
) -> None:
    """Writes root/annotations/{train,val}.json and root/{train,val}/000000.jpg, ...; `image_size` in pixels.

    Plain scenes have six classes and seven objects at most; crowded ones 48 classes, outline and colour together, and
    24 objects, from a sixteenth to half of the image's side.

    Image i of a split, whose id is i, depends on (seed, split, i, image_size, crowded) only; bytes repeat with one
    version of OpenCV and numpy, others may move an edge by a pixel. Boxes are tight around the whole shape
    inside the image and `area` counts that shape's pixels; both ignore what later objects hide.
    A set made with the same arguments is kept as it is; a new one appears at `root` whole or not at all.
    Raises InputError for arguments out of range and FileExistsError where `root` holds anything else.
    """
    arguments = {"num_train": num_train, "num_val": num_val, "image_size": image_size, "seed": seed}
    least = {"num_train": 1, "num_val": 1, "image_size": MIN_IMAGE_SIZE_PX, "seed": 0}
    for name, value in arguments.items():
        if value < least[name]:
            raise InputError(f"{name} is {value}, it must be at least {least[name]}")
    if image_size > MAX_IMAGE_SIZE_PX:
        raise InputError(f"image_size is {image_size}, it must be at most {MAX_IMAGE_SIZE_PX}")
    generator = {"generator": "lors_det.data.shapes", "recipe": _RECIPE}
    made_with = {**arguments, **({"scenes": "crowded"} if crowded else {})}
    info = {"description": "Textured shapes, a synthetic detection set", **generator, **made_with}
    if _holds(root, info):
        return
    if root.exists():
        raise FileExistsError(
            f"{root} exists and is no whole set made with {made_with}: name another folder or move it away"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as scratch:
        made = Path(scratch) / root.name
        (made / "annotations").mkdir(parents=True)
        for split, num_images in zip(SPLITS, (num_train, num_val)):
            content = _split(
                made / split, split=split, num_images=num_images, info=info, scenes=CROWDED if crowded else PLAIN
            )
            (made / "annotations" / f"{split}.json").write_text(json.dumps(content))
        try:
            os.rename(made, root)
        except OSError:
            if not _holds(root, info):  # another process may have finished the same set first
                raise
