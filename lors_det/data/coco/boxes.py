"""Boxes of a COCO file: made from outlines where there are none, clipped to their images, or left out."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from lors_det.data.coco.notes import Notes
from lors_det.data.labelled import TOLERANCE_PX, Box, judged, words_for
from lors_det.data.words import counted

MANY = 0.1
"""Share of boxes out of their images above which clipping would hide that boxes or sizes are of another form."""


def lies_inside(bbox: Any, image: Mapping[str, Any]) -> bool:
    """Whether a box x, y, width, height has area and lies in its image, but for what rounding explains.

    Raises:
        TypeError: if it holds no numbers.
        OverflowError: if it holds one beyond float64.
        ValueError: if it is not four values.
    """
    x, y, w, h = bbox
    return (
        (w > 0 and h > 0 and x >= -TOLERANCE_PX and y >= -TOLERANCE_PX)
        and x + w <= image["width"] + TOLERANCE_PX
        and y + h <= image["height"] + TOLERANCE_PX
    )


def usable(
    annotations: list[dict[str, Any]],
    doubtful: list[int],
    images: Mapping[Any, Mapping[str, Any]],
    folder: str,
    notes: Notes,
) -> tuple[list[dict[str, Any]], bool, int]:
    """The annotations that can be used, clipped where they stick out, unless too many do.

    Args:
        annotations: whole, boxes in pixels and finite.
        doubtful: the numbers of those that do not lie inside.
        images: by id.
        folder: of the images.
        notes: grows.

    Returns:
        The annotations; whether they are the given ones but for those without area; how many those are.
    """
    without_area = {n for n in doubtful if not all(side > 0 for side in annotations[n]["bbox"][2:])}
    out = [n for n in doubtful if n not in without_area]
    if len(out) > max(2, MANY * len(annotations)):
        what = f"{len(out)} of {counted(len(annotations), 'box')} stick out of their images"
        remedy = "see whether the boxes are corners instead of x, y, width, height, or the sizes are wrong"
        notes.warn("outside", f"{what}; they are not clipped, as their form may be another", remedy, error=True)
        out = []
    found: list[dict[str, Any] | None] = list(annotations)
    for number in sorted([*without_area, *out]):
        entry = annotations[number]
        image = images[entry["image_id"]]
        x, y, w, h = entry["bbox"]
        stated = Box(0, x, y, x + w, y + h)
        path = os.path.join(folder, image["file_name"])
        label = words_for(f"annotation {entry['id']}", stated)
        box, finding = judged(stated, image["width"], image["height"], image=image["file_name"], path=path, label=label)
        if finding is not None:
            notes.findings.append(finding)
        if box is None:
            found[number] = None
        elif box != stated:
            inner = [box.left, box.top, box.right - box.left, box.bottom - box.top]
            found[number] = {**entry, "bbox": inner, "area": min(entry["area"], inner[2] * inner[3])}
    alike = all(found[number] is annotations[number] for number in out)
    return [entry for entry in found if entry is not None], alike, len(without_area)


def box_of_outline(segmentation: Any, image: Mapping[str, Any]) -> list[float] | None:
    """x, y, width, height around polygons [[x1, y1, ...], ...] or a run-length mask; None for anything else."""
    try:
        if isinstance(segmentation, dict) and {"counts", "size"} <= segmentation.keys():
            from pycocotools import mask  # masks without boxes are rare

            runs, height, width = segmentation, image["height"], image["width"]
            if list(runs["size"]) != [height, width]:
                return None
            if isinstance(runs["counts"], list):
                if sum(runs["counts"]) != height * width:  # which pycocotools does not ask
                    return None
                runs = mask.frPyObjects(runs, height, width)
            return [float(value) for value in mask.toBbox(runs)]
        values = [[float(value) for value in polygon] for polygon in segmentation]
    except (TypeError, ValueError, OverflowError):
        return None
    xs = [value for polygon in values for value in polygon[0::2]]
    ys = [value for polygon in values for value in polygon[1::2]]
    if not ys or not all(map(math.isfinite, xs + ys)):
        return None
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
