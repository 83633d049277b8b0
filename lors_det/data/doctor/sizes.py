"""Annotated image sizes that are not the file's, and whose pixels the boxes are then in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lors_det.data.doctor.case import Case
from lors_det.data.doctor.image_facts import ImageFacts
from lors_det.data.doctor.table import Floats, Mask, Table
from lors_det.data.record import Finding

SizeFault = Literal["exif-size", "swapped-size", "scaled-size", "wrong-size"]
Frame = Literal["file", "annotated", "unknown"]
"""Whose pixels boxes are in."""

_ROUNDING = 0.01
_FEW_BOXES = 20


@dataclass(frozen=True)
class OtherSize:
    """An image whose annotated size is not the one that the loader gives, by more than a pixel."""

    image: int
    """Index in the table."""
    fault: SizeFault
    annotated: tuple[float, float]
    displayed: tuple[int, int]
    orientation: int
    frame: Frame = "unknown"
    """The same for all images of a split with the same fault, in the same direction: a tool made them all."""

    def correct(self, boxes: Floats) -> Floats | None:
        """Boxes (n, 4) in pixels of the image as displayed; None if that cannot be known."""
        if self.frame == "file":
            return boxes
        if self.frame == "annotated" and self.fault == "scaled-size":
            return boxes * np.tile(np.divide(self.displayed, self.annotated), 2)
        if self.frame == "annotated" and self.fault == "exif-size":
            return turn(boxes, self.annotated, self.orientation)
        return None


def other_sizes(case: Case, table: Table) -> list[OtherSize]:
    """Images of a split whose annotated size is not their file's; none where the files are not looked at."""
    found: dict[tuple[SizeFault, bool], list[OtherSize]] = defaultdict(list)
    for index in range(len(table.images)) if case.facts else ():
        facts = case.facts[table.path(index)]
        width, height = table.sizes[index]
        if facts.size is None or not np.isfinite(width + height):
            continue
        if max(abs(width - facts.size[0]), abs(height - facts.size[1])) > 1:
            fault = _fault(float(width), float(height), facts)
            is_larger = fault == "scaled-size" and bool(width > facts.size[0])
            found[fault, is_larger].append(
                OtherSize(index, fault, (float(width), float(height)), facts.size, facts.orientation)
            )
    return [
        OtherSize(one.image, fault, one.annotated, one.displayed, one.orientation, frame)
        for (fault, is_larger), group in found.items()
        for frame in [_frame(table, fault, group, is_larger=is_larger)]
        for one in group
    ]


def has_other_size(case: Case, table: Table) -> Mask:
    """(I + 1,) images of :func:`other_sizes`; the last stands for unknown images."""
    mask = np.zeros(len(table.images) + 1, bool)
    mask[[one.image for one in other_sizes(case, table)]] = True
    return mask


def check_sizes(case: Case) -> Iterator[Finding]:
    """A finding for each image of :func:`other_sizes`, and notes where an orientation leaves the size as it is."""
    for table in case.tables:
        for one in other_sizes(case, table):
            yield Finding(one.fault, "error", table.image(one.image), _what(one), _remedy(one))
        for index in range(len(table.images)) if case.facts else ():
            facts = case.facts[table.path(index)]
            if facts.size is None:
                continue
            width, height = table.sizes[index]
            if 0 < max(abs(width - facts.size[0]), abs(height - facts.size[1])) <= 1:
                what = f"it is annotated as {width:g} x {height:g}, its file has {_words(facts.size)} pixels"
                yield Finding("size-off-by-one", "note", table.image(index), what)
            if facts.orientation > 1 and (facts.orientation < 5 or facts.size[0] == facts.size[1]):
                what = f"its EXIF orientation is {facts.orientation}, which the loader applies; its size does not tell"
                what += " whether the boxes were drawn so"
                yield Finding("exif-unclear", "note", table.image(index), what, "look at it with its boxes")


def turn(boxes: Floats, stored: tuple[float, float], orientation: int) -> Floats:
    """Boxes (n, 4) in pixels of an image as stored, as they lie once its EXIF orientation (1 to 8) is applied."""
    x, y, w, h = boxes.T
    width, height = stored
    right, below = width - x - w, height - y - h
    placed = {
        1: (x, y),
        2: (right, y),
        3: (right, below),
        4: (x, below),
        5: (y, x),
        6: (below, x),
        7: (below, right),
        8: (y, right),
    }[orientation]
    return np.stack([*placed, *((h, w) if orientation >= 5 else (w, h))], axis=1)


def _fault(width: float, height: float, facts: ImageFacts) -> SizeFault:
    assert facts.size is not None
    shown_width, shown_height = facts.size
    if max(abs(width - shown_height), abs(height - shown_width)) <= 1:
        return "exif-size" if facts.orientation >= 5 else "swapped-size"
    ratio = (width / shown_width) / (height / shown_height)
    slack = _ROUNDING + 1 / min(width, height, *facts.size)
    return "scaled-size" if abs(ratio - 1) <= slack else "wrong-size"


def _frame(table: Table, fault: SizeFault, group: list[OtherSize], *, is_larger: bool) -> Frame:
    """Whose pixels the boxes of these images are in: those of which they do not go beyond.

    Where they fit both, a size and boxes that were written together are believed to be of one image, except that many
    boxes that never reach beyond a smaller file are the file's.
    """
    place = np.full(len(table.images), -1)
    place[[one.image for one in group]] = np.arange(len(group))
    chosen = table.usable & (place[table.image_of] >= 0)
    which = place[table.image_of[chosen]]
    corner = table.boxes[chosen, :2] + table.boxes[chosen, 2:]

    def beyond(sizes: Floats) -> float:
        return float((corner > sizes[which] * 1.02 + 1).any(1).mean()) if len(corner) else 0.0

    of_file = beyond(np.array([one.displayed for one in group], np.float64))
    of_record = beyond(np.array([one.annotated for one in group]))
    if min(of_file, of_record) > _ROUNDING:
        return "unknown"
    if of_record > _ROUNDING:
        return "file"
    if of_file > _ROUNDING:
        return "annotated"
    if is_larger and len(corner) >= _FEW_BOXES:
        return "file"
    return "annotated" if fault in ("scaled-size", "exif-size") else "file" if fault == "swapped-size" else "unknown"


def _what(one: OtherSize) -> str:
    what = f"it is annotated as {_words(one.annotated)}, the loader gives {_words(one.displayed)} pixels"
    if one.fault == "exif-size":
        return f"{what}, for it applies the EXIF orientation {one.orientation}"
    if one.fault == "swapped-size":
        return f"{what}: width and height are swapped"
    if one.fault == "scaled-size":
        return f"{what}, {one.displayed[0] / one.annotated[0]:.3g} times as many"
    return what


def _remedy(one: OtherSize) -> str:
    boxes = {
        "file": "its boxes are in the file's pixels, correct the size",
        "annotated": "its boxes are in pixels of the annotated size, correct both",
        "unknown": "find out what its boxes were drawn on",
    }
    return boxes[one.frame]


def _words(size: tuple[float, float]) -> str:
    return f"{size[0]:g} x {size[1]:g}"
