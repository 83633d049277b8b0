"""The text files of YOLO sets: a line an object, in fractions of the image's width and height."""

from __future__ import annotations

import math
from typing import NamedTuple

from lors_det.data.record import Level

MOST_CLASSES = 100_000
"""No set has more; a larger class id is no class's, and would ask for memory for each below it."""

_SLACK = 0.01  # by how much rounding may carry a value out of [0, 1]


class Fraction(NamedTuple):
    """An object of a label file: class id, and corners as fractions of the displayed image's width and height."""

    class_id: int
    left: float
    top: float
    right: float
    bottom: float
    outlined: bool
    """Whether the line gives an outline, whose bounding box this is."""
    line: int = 0
    """Its number in the label file, from 1."""


class LineError(ValueError):
    """A line that cannot be used: ``kind`` and ``level`` of the finding, the message what is wrong, ``remedy``."""

    def __init__(self, kind: str, what: str, remedy: str, level: Level = "warning") -> None:
        super().__init__(what)
        self.kind, self.remedy, self.level = kind, remedy, level


def parse_line(line: str, *, num_classes: int | None, keypoints: bool = False) -> Fraction:
    """One line: ``class cx cy w h``, or ``class x1 y1 x2 y2 x3 y3 ...``, an outline of at least three points.

    Args:
        line: not empty.
        num_classes: class ids are below it; None where the set does not say: below :data:`MOST_CLASSES`.
        keypoints: four values of a box are followed by those of keypoints, which are left out.

    Raises:
        LineError: if a value is no finite number or outside [0, 1], the class is not among the set's, or the count of
            values is another. Six values are a prediction's, with its confidence.
    """
    words = line.split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        what = f"{line.strip()[:60]!r} does not consist of finite numbers"
        raise LineError("malformed-line", what, "write: class cx cy w h")
    if len(values) == 6:
        what = "six values are a prediction's, class cx cy w h confidence; its label file holds no ground truth"
        raise LineError("predictions", what, "give the annotations, not a detector's output", "error")
    if len(values) < 5 or (len(values) % 2 == 0 and not keypoints):
        raise LineError(
            "malformed-line",
            f"{len(values)} values; a box is class cx cy w h, an outline class x1 y1 x2 y2 x3 y3 ...",
            "correct or remove the line",
        )
    below = MOST_CLASSES if num_classes is None else num_classes
    if values[0] % 1 or not 0 <= values[0] < below:
        allowed = f"whole and from 0 to {below - 1}" if num_classes is None else f"0 to {below - 1}"
        what = f"the class is {words[0]}; class ids are {allowed}"
        raise LineError("class-range", what, "correct the names of the classes, or the line", "error")
    coordinates = values[1:5] if keypoints else values[1:]
    outside = [value for value in coordinates if not -_SLACK <= value <= 1 + _SLACK]
    if outside:
        what = f"{outside[0]:g} is no fraction of the image's width or height, which are from 0 to 1"
        raise LineError("not-normalised", what, "divide pixels by the image's width and height")
    outlined = len(coordinates) > 4
    if outlined:
        xs, ys = coordinates[0::2], coordinates[1::2]
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    else:
        x, y, w, h = coordinates
        left, top, right, bottom = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    return Fraction(int(values[0]), left, top, right, bottom, outlined)
