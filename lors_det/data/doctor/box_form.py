"""Boxes that are not x, y, width, height in pixels: corners, centres, or parts of the image's size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from lors_det.data.doctor.case import Case
from lors_det.data.doctor.table import Floats, Table
from lors_det.data.record import Finding

BoxForm = Literal["corners", "centre", "relative", "relative centre", "relative corners", "relative, unclear"]

_WORDS: dict[BoxForm, str] = {
    "corners": "x1, y1, x2, y2 in pixels",
    "centre": "centre x, centre y, width, height in pixels",
    "relative": "x, y, width, height as parts of the image's size",
    "relative centre": "centre x, centre y, width, height as parts of the image's size, as YOLO writes them",
    "relative corners": "x1, y1, x2, y2 as parts of the image's size",
    "relative, unclear": "parts of the image's size, whether from the corner or the centre cannot be told",
}
_NEARLY_ALL = 0.98
_GOOD_PART = 0.05
_FEWEST = 4
"""Boxes that must break a form before another is believed."""


def recognise_form(table: Table) -> BoxForm | None:
    """The form that the boxes of a split seem to be in, if it is not x, y, width, height in pixels.

    Another form is believed where a good part of the boxes, as x, y, width, height, go beyond their image, and nearly
    all fit into it in that other form; and where nearly all numbers lie in 0..1, as no box in pixels does.
    """
    boxes, sizes = table.boxes[table.usable], table.size_of[table.usable]
    if len(boxes) < _FEWEST:
        return None
    if ((boxes >= -0.01) & (boxes <= 1.01)).all(1).mean() >= _NEARLY_ALL and np.median(sizes) > 8:
        unit = np.ones_like(sizes)
        forms: dict[BoxForm, Floats] = {
            "relative": _beyond(boxes, unit),
            "relative centre": _beyond(_from_centre(boxes), unit),
            "relative corners": _beyond(_from_corners(boxes), unit),
        }
        fitting = {form: misfits.mean() for form, misfits in forms.items() if _nearly_all_fit(misfits)}
        if not fitting:
            return "relative, unclear"
        best = min(fitting, key=lambda form: fitting[form])
        alike = [form for form, share in fitting.items() if share == fitting[best]]
        return best if len(alike) == 1 else "relative, unclear"
    plain = _beyond(boxes, sizes)
    if plain.sum() < _FEWEST or plain.mean() < _GOOD_PART:
        return None
    if _nearly_all_fit(_beyond(_from_corners(boxes), sizes)):
        return "corners"
    return "centre" if _nearly_all_fit(_beyond(_from_centre(boxes), sizes)) else None


def in_pixels(boxes: Floats, sizes: Floats, form: BoxForm) -> Floats:
    """Boxes (n, 4) of a recognised form as x, y, width, height in pixels; ``sizes`` (n, 2) are those of the images."""
    if form.startswith("relative"):
        boxes = boxes * np.tile(sizes, 2)
    if form.endswith("corners"):
        return _from_corners(boxes)
    return _from_centre(boxes) if form.endswith("centre") else boxes


def check_box_form(case: Case) -> Iterator[Finding]:
    """A finding for each split whose boxes are in another form."""
    for table in case.tables:
        form = recognise_form(table)
        if form is not None:
            yield Finding(
                f"box-form-{form.split(',')[0].replace(' ', '-')}",
                "error",
                table.name,
                f"its boxes ({int(table.usable.sum()):,}) look like {_WORDS[form]}",
                "write x, y, width, height in pixels" + ("" if "unclear" in form else ", as --fix does"),
            )


def _nearly_all_fit(misfits: Floats) -> bool:
    """Of twenty boxes on, one may be broken besides."""
    return bool(misfits.sum() <= max((1 - _NEARLY_ALL) * len(misfits), float(len(misfits) >= 20)))


def _from_corners(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _from_centre(boxes: Floats) -> Floats:
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


def _beyond(boxes: Floats, sizes: Floats) -> Floats:
    """(n,) 1 where a box has no area or goes beyond its image by more than a pixel or a percent, 0 where it fits."""
    slack = np.minimum(np.maximum(0.01 * sizes, 1.0), 0.05 * sizes)
    fits = (boxes[:, 2:] > 0) & (boxes[:, :2] >= -slack) & (boxes[:, :2] + boxes[:, 2:] <= sizes + slack)
    return np.asarray(1.0 - fits.all(1))
