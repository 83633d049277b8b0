"""What a record holds twice: ids, files, boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from lors_det.data.doctor.box_form import recognise_form
from lors_det.data.doctor.case import Case
from lors_det.data.doctor.table import Ints, Mask, Table
from lors_det.data.record import Finding


def repeated_boxes(table: Table) -> Mask:
    """(M,) boxes whose like, of the same image and class and to a hundredth of a pixel, comes before them."""
    mask = np.zeros(len(table.boxes), bool)
    mask[_repeated(table)[0]] = True
    return mask


def first_listing(table: Table) -> Ints:
    """(I,) index of the first image with the same file; its own, if it is the first."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(table.path(i), i) for i in range(len(table.images))], np.int64)


def check_duplicates(case: Case) -> Iterator[Finding]:
    """Findings of ids that are used twice, files that are listed twice, and boxes that lie on each other."""
    for table in case.tables:
        for section, entries in (("image", table.images), ("annotation", table.annotations)):
            for name, count in _twice([entry["id"] for entry in entries]).items():
                what = f"{count} {section}s have the id {name}"
                remedy = "give each its own" + (", and say which image each box is in" if section == "image" else "")
                yield Finding(f"duplicate-{section}-id", "error", table.name, what, remedy)
        for index, first in enumerate(first_listing(table)):
            if first != index:
                what = f"images {table.images[first]['id']} and {table.images[index]['id']} are the same file"
                yield Finding("listed-twice", "warning", table.image(index), what, "list it once, with all its boxes")
        again, of_two_classes = _repeated(table)
        for index in again.tolist():
            what = "the same box of the same class comes before it"
            yield Finding("duplicate-box", "warning", table.annotation(index), what, "keep one")
        for index in of_two_classes.tolist():
            what = "a box of another class is exactly the same"
            yield Finding("box-of-two-classes", "note", table.annotation(index), what, "check that it is both")


def _repeated(table: Table) -> tuple[Ints, Ints]:
    """Annotations whose box comes before them with the same class, and with another."""
    usable = np.flatnonzero(table.usable)
    steps = 1e6 if (recognise_form(table) or "").startswith("relative") else 100
    rounded = np.round(table.boxes[usable] * steps).astype(np.int64)
    image, label = table.image_of[usable], table.class_of[usable]
    sorting = np.lexsort((usable, label, *rounded.T, image))
    rounded, image, label = rounded[sorting], image[sorting], label[sorting]
    same = (rounded[1:] == rounded[:-1]).all(1) & (image[1:] == image[:-1])
    later, same_class = usable[sorting][1:], label[1:] == label[:-1]
    return np.sort(later[same & same_class]), np.sort(later[same & ~same_class])


def _twice(ids: list[int | str]) -> dict[int | str, int]:
    if len(set(ids)) == len(ids):
        return {}
    return {name: count for name, count in Counter(ids).items() if count > 1}
