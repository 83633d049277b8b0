"""Whether there is enough to learn from and to measure on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lors_det.data.doctor.box_form import recognise_form
from lors_det.data.doctor.case import Case
from lors_det.data.doctor.constant_box import check_constant_box
from lors_det.data.record import Finding
from lors_det.data.words import counted

FEW_TRAIN = 30
FEW_VAL = 10
FEW_BOXES = 10
"""Of a class in val; with fewer its AP moves by several points with each of them."""


def check_amounts(case: Case) -> Iterator[Finding]:
    """Few images, and classes with few boxes to measure on."""
    for name, fewest, why, remedy in (
        (
            "train",
            FEW_TRAIN,
            "a detector learns them by heart",
            "add images, or start from a detector, with --load-from",
        ),
        ("val", FEW_VAL, "its figures are mostly chance", "add images"),
    ):
        table = case.table(name)
        if table is not None and len(table.images) < fewest:
            what = f"it has {counted(len(table.images), 'image')}: {why}"
            yield Finding(f"few-{name}-images", "warning", name, what, remedy)
    val = case.table("val")
    if val is not None:
        for index in np.flatnonzero((val.class_counts > 0) & (val.class_counts < FEW_BOXES)):
            boxes = counted(int(val.class_counts[index]), "box")
            what = f"class {val.class_names[index]} has {boxes}: its AP is mostly chance"
            yield Finding("few-val-boxes", "note", "val", what)


def check_constant(case: Case) -> Iterator[Finding]:
    """See :mod:`constant_box`; not asked where boxes are of another form, or splits have no boxes."""
    train, val = case.table("train"), case.table("val")
    if train is None or val is None or recognise_form(train) is not None or recognise_form(val) is not None:
        return
    found = check_constant_box(train, val)
    if found is not None:
        yield found
