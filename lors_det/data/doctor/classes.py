"""Classes: the same in every split, ids that fit them, boxes to learn each from, and names that are one class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from lors_det.data.doctor.case import Case
from lors_det.data.doctor.names import RARE, alike
from lors_det.data.doctor.table import Table
from lors_det.data.record import Finding
from lors_det.data.words import are, counted, listed

STRAYS = 2
"""Boxes of unknown ids that may be slips."""


def check_class_lists(case: Case) -> Iterator[Finding]:
    """Categories that differ between splits, or that a record lists twice. Order counts: a class is its place."""
    for table in case.tables:
        for key, kind in (("id", "duplicate-category-id"), ("name", "class-names-twice")):
            for value, count in Counter(category[key] for category in table.categories).items():
                if count > 1:
                    what = f"{count} categories have the {key} {value}"
                    yield Finding(kind, "error", table.name, what, "give each its own")
    if not case.tables:
        return
    reference, *others = case.tables
    for table in others:
        expected, names = reference.class_names, table.class_names
        missing = [name for name in expected if name not in names]
        extra = [name for name in names if name not in expected]
        remedy = "give all splits the same categories in the same order"
        if missing:
            what = f"it lacks the categories {listed(missing)} of {reference.name}"
            yield Finding("class-missing", "error", table.name, what, remedy)
        if extra:
            what = f"it has the categories {listed(extra)}, which {reference.name} lacks"
            yield Finding("class-extra", "error", table.name, what, remedy)
        if not missing and not extra and names != expected:
            what = f"it lists the categories in another order than {reference.name}: {listed(names)}"
            yield Finding("class-order", "error", table.name, what, remedy)


def id_shift(table: Table) -> int:
    """What must be added to the category ids of the annotations, all of them: 1, -1, or 0 where they fit as they are.

    Ids are shifted if some are unknown, and all become known by adding 1 (they count from 0 and the categories from 1)
    or -1. The unknown ones are then a class; one or two boxes that are less than a tenth of its even share are strays.
    """
    used = {annotation["category_id"] for annotation in table.annotations}
    known = {category["id"] for category in table.categories}
    if used <= known or not all(isinstance(each, int) for each in used | known):
        return 0
    unknown = sum(annotation["category_id"] not in known for annotation in table.annotations)
    if unknown <= STRAYS and unknown * 10 * len(known) < len(table.annotations):
        return 0
    return next((shift for shift in (1, -1) if {each + shift for each in used} <= known), 0)


def check_ids(case: Case) -> Iterator[Finding]:
    """Annotations of images or categories that are not listed, and ids that make pycocotools tell wrong figures."""
    for table in case.tables:
        if table.name != "train" and table.class_names == case.tables[0].class_names:
            yield from _misread_ids(table)
        remedy = "drop it, or correct the id"
        for index in np.flatnonzero(table.image_of < 0):
            what = f"it is of the image {table.annotations[index]['image_id']}, which is not listed"
            yield Finding("unknown-image", "error", table.annotation(int(index)), what, remedy)
        shift = id_shift(table)
        if shift:
            what = f"category ids of the annotations are {-shift:+d} off: they count from {0 if shift > 0 else 1}, the "
            what += f"categories from {1 if shift > 0 else 0}"
            yield Finding("class-ids-shifted", "error", table.name, what, f"add {shift:+d} to each")
            continue
        for index in np.flatnonzero(table.class_of < 0):
            what = f"it is of the category {table.annotations[index]['category_id']}, which is not listed"
            yield Finding("class-range", "error", table.annotation(int(index)), what, remedy)
    yield from _shift_of_left_out(case)


def _misread_ids(table: Table) -> Iterator[Finding]:
    remedy = "number them from 1, as --fix does"
    if any(annotation["id"] == 0 for annotation in table.annotations):
        what = "an annotation has the id 0, which pycocotools takes for none: its box counts as missed"
        yield Finding("annotation-id-0", "warning", table.name, what, remedy)
    ids = [category["id"] for category in table.categories]
    if len(set(ids)) == len(ids) and np.unique(ids).tolist() != ids:
        what = "ids of the categories do not ascend in the order of the file: the AP of a class is told as another's"
        yield Finding("category-id-order", "warning", table.name, what, remedy)


def _shift_of_left_out(case: Case) -> Iterator[Finding]:
    """Where the reader left out boxes whose class is out of range, and a class at one end of the list has none."""
    if any(found.kind == "class-range" for found in case.folder.findings):
        for table in case.tables:
            counts = table.class_counts
            for end, rest in ((0, counts[1:]), (-1, counts[:-1])):
                if len(rest) and counts[end] == 0 and rest.all():
                    what = f"class {table.class_names[end]} has no box, and there are boxes beyond the list of classes"
                    remedy = f"the ids are probably all {'+1' if end == 0 else '-1'} off, and so are the other classes"
                    yield Finding("class-ids-shifted", "error", table.name, what, remedy)


def check_class_counts(case: Case) -> Iterator[Finding]:
    """Classes without boxes to learn from, or to measure on."""
    counts = {table.name: _counts(table) for table in case.tables}
    train = counts.get("train")
    if train is None or any(id_shift(table) for table in case.tables):
        return  # counts of other classes than meant
    for name in train:
        elsewhere = [split for split, of_split in counts.items() if split != "train" and of_split.get(name, 0)]
        if train[name]:
            if "val" in counts and any(counts["val"].values()) and not counts["val"].get(name, 0):
                what = f"class {name} has no box, and {train[name]} in train: its AP is not measured"
                yield Finding("class-not-in-val", "note", "val", what, "move some images")
        elif elsewhere:
            what = f"class {name} has no box, but {counts[elsewhere[0]][name]} in {elsewhere[0]}: it cannot be learnt"
            yield Finding("class-not-in-train", "warning", "train", what, "move some images, or drop the class")
        else:
            what = f"class {name} has no box in any split, crowds and difficult ones aside"
            yield Finding("class-without-boxes", "warning", "train", what, "drop it, or annotate it")


def check_names(case: Case) -> Iterator[Finding]:
    """Names that are probably one class."""
    remedy = "rename it, as --fix-classes does"
    counts = name_counts(case)
    for rare, common, how in alike(counts):
        what = f"{counted(counts[rare], 'box')} {are(counts[rare])} of {rare!r}, {counts[common]:,} of {common!r}"
        if how == "class-plural" and counts[rare] > RARE * counts[common]:
            yield Finding(how, "note", case.folder.root.name, what, "one class or two?")
        else:
            yield Finding(how, "warning", case.folder.root.name, what, remedy)


def name_counts(case: Case) -> dict[str, int]:
    """Boxes of each class name, over all splits."""
    total: Counter[str] = Counter()
    for table in case.tables:
        total.update(_counts(table))
    return dict(total)


def _counts(table: Table) -> dict[str, int]:
    return {name: int(count) for name, count in zip(table.class_names, table.class_counts)}
