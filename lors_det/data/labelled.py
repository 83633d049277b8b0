"""Labelled images, as YOLO's and Pascal VOC's files describe them one by one, made records in COCO's format."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lors_det.data.images import displayed_size
from lors_det.data.record import Finding, Level, Split
from lors_det.data.splits import SplitName
from lors_det.errors import InputError

TOLERANCE_PX = 1.0
"""Boxes that stick out of their image by less are rounded ones, and clipped without a word."""


class Box(NamedTuple):
    """A box of one class; corners in pixels of the displayed image, counted from its left and upper edge."""

    class_index: int
    left: float
    top: float
    right: float
    bottom: float
    crowd: bool = False
    """To be ignored in training and evaluation."""
    stated_as: str = ""
    """The box in words, as its owner finds it in the file that states it."""


@dataclass(frozen=True)
class LabelledImage:
    """An image and its boxes; sizes in pixels, as displayed."""

    path: str
    width: int
    height: int
    boxes: Sequence[Box]


def overhang_px(box: Box, width: float, height: float) -> float:
    """By how much a box sticks out of its image at most, negative where it lies inside."""
    return max(-box.left, -box.top, box.right - width, box.bottom - height)


def clipped(box: Box, width: float, height: float) -> Box:
    """The part of a box that lies in its image; without area where none does."""
    left, right = max(box.left, 0.0), min(box.right, width)
    top, bottom = max(box.top, 0.0), min(box.bottom, height)
    return box._replace(left=left, top=top, right=right, bottom=bottom)


def has_area(box: Box) -> bool:
    """Whether width and height are positive; false for a box of NaN."""
    return box.right > box.left and box.bottom > box.top


def judged(
    box: Box, width: float, height: float, *, image: str, path: str, label: str
) -> tuple[Box | None, Finding | None]:
    """The box as it can be used, None for a box that cannot, and what its owner should know.

    A box that sticks out of an image whose file has another size than the annotation says stays as it is: it may be
    the size that is wrong.

    Args:
        box: in pixels.
        width: of the image, as annotated.
        height: likewise.
        image: the image's name for the finding.
        path: its file, opened only if the box sticks out.
        label: the box's class and corners in words.
    """
    if not has_area(box):
        return None, Finding("no-area", "warning", image, f"{label} has no area and is left out", "draw it again")
    over = overhang_px(box, width, height)
    if over <= 0:
        return box, None
    inner = clipped(box, width, height)
    if over <= TOLERANCE_PX and has_area(inner):
        return inner, None
    try:
        size = displayed_size(path)
    except InputError:
        size = (int(width), int(height))  # what is wrong with the file is told elsewhere
    if size != (width, height):
        what = f"{label} sticks out of {width} x {height} pixels, but the file has {size[0]} x {size[1]}"
        return box, Finding("size-differs", "warning", image, what, "correct the annotated size")
    if not has_area(inner):
        what = f"{label} lies outside the image of {width} x {height} pixels and is left out"
        return None, Finding("outside", "warning", image, what, "draw it again")
    what = f"{label} sticks out of the image of {width} x {height} pixels by {over:.4g} and is clipped"
    return inner, Finding("clipped", "warning", image, what)


def words_for(what: str, box: Box) -> str:
    """A box in words: ``what`` and its corners."""
    return f"{what} ({box.left:.6g}, {box.top:.6g}, {box.right:.6g}, {box.bottom:.6g})"


def record(
    images: Sequence[LabelledImage], classes: Sequence[str], image_root: str, findings: list[Finding]
) -> dict[str, Any]:
    """The COCO record of labelled images; ids from 1, in the order given. What is left out or clipped is told.

    Annotations have :attr:`Box.stated_as` besides, by which findings name them.
    """
    content: dict[str, Any] = {"images": [], "annotations": []}
    content["categories"] = [{"id": index, "name": name} for index, name in enumerate(classes, start=1)]
    annotations = content["annotations"]
    for image_id, image in enumerate(images, start=1):
        name = os.path.relpath(image.path, image_root).replace(os.sep, "/")
        content["images"].append({"id": image_id, "file_name": name, "width": image.width, "height": image.height})
        for stated in image.boxes:
            label = f"a box of {stated.stated_as}"
            box, finding = judged(stated, image.width, image.height, image=name, path=image.path, label=label)
            if finding is not None:
                findings.append(finding)
            if box is None:
                continue
            w, h = box.right - box.left, box.bottom - box.top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": box.class_index + 1,
                    "bbox": [box.left, box.top, w, h],
                    "area": w * h,
                    "iscrowd": int(box.crowd),
                    "stated_as": stated.stated_as,
                }
            )
    return content


def splits_of(
    images: Mapping[SplitName, Sequence[LabelledImage]],
    sources: Mapping[SplitName, str],
    classes: Sequence[str],
    root: Path,
    findings: list[Finding],
) -> dict[str, Split]:
    """Splits whose file names are relative to the set's folder, or to what it and images elsewhere have in common.

    A split without images is told, and is not among them.
    """
    folders = {os.path.dirname(image.path) for part in images.values() for image in part}
    image_root = os.path.commonpath([str(root), *folders])
    found: dict[str, Split] = {}
    for name, part in images.items():
        if part:
            found[name] = Split(name, Path(image_root), record(part, classes, image_root, findings), sources[name])
        else:
            level: Level = "warning" if name == "test" else "error"
            what = f"none of the images of {name} can be used"
            findings.append(Finding("no-image", level, sources[name], what, "add them, or remove the split"))
    return found
