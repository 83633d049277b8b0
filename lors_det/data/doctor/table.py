"""A split as columns: the checks look at hundreds of thousands of boxes at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lors_det.data.record import Finding, Split

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Table:
    """The usable entries of a record as columns, the others in ``malformed``: I images, M annotations, N categories."""

    split: Split
    categories: list[dict[str, Any]]
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    sizes: Floats
    """(I, 2) width and height as they are annotated, in pixels; NaN where an image states none."""
    image_of: Ints
    """(M,) index of the annotation's image, -1 where its id is unknown; of images with the same id, the first."""
    class_of: Ints
    """(M,) index of the annotation's category, -1 where its id is unknown."""
    boxes: Floats
    """(M, 4) x, y, width, height in pixels; NaN where it is not four finite numbers."""
    crowd: Mask
    """(M,)"""
    malformed: tuple[Finding, ...]

    @property
    def name(self) -> str:
        return self.split.name

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(str(category["name"]) for category in self.categories)

    @cached_property
    def usable(self) -> Mask:
        """(M,) annotations with a box in a known image of known size, of a known category."""
        known: Mask = (self.image_of >= 0) & (self.class_of >= 0) & np.isfinite(self.boxes).all(1)
        known[known] &= np.isfinite(self.sizes[self.image_of[known]]).all(1)
        return known

    @cached_property
    def size_of(self) -> Floats:
        """(M, 2) annotated size of the annotation's image; NaN where it is unknown."""
        padded = np.concatenate([self.sizes, np.full((1, 2), np.nan)])
        return padded[self.image_of]

    @cached_property
    def class_counts(self) -> Ints:
        """(N,) boxes of each category, crowds aside."""
        of_known = self.class_of[(self.class_of >= 0) & ~self.crowd]
        return np.bincount(of_known, minlength=len(self.categories)).astype(np.int64)

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """(I,) where the image files lie."""
        return tuple(map(self.path, range(len(self.images))))

    def path(self, index: int) -> str:
        """Where the file of an image lies."""
        return os.path.join(self.split.image_root, str(self.images[index]["file_name"]))

    def image(self, index: int) -> str:
        """An image in words."""
        return f"{self.name}, {self.images[index]['file_name']}"

    def annotation(self, index: int) -> str:
        """An annotation in words."""
        place = self.image_of[index]
        where = self.image(int(place)) if place >= 0 else self.name
        entry = self.annotations[index]
        return f"{where}, {entry.get('stated_as') or 'annotation {}'.format(entry['id'])}"


def read_table(split: Split) -> Table:
    """The record of a split as columns. Nothing in the record keeps it from being read."""
    malformed: list[Finding] = []
    categories = _entries(split, "categories", ("name",), malformed)
    images = _entries(split, "images", ("file_name",), malformed)
    annotations = _entries(split, "annotations", ("image_id", "category_id"), malformed)
    boxes = _numbers([entry.get("bbox") for entry in annotations], 4)
    sizes = _numbers([[entry.get("width"), entry.get("height")] for entry in images], 2)
    sizes[(sizes <= 0).any(1)] = np.nan
    table = Table(
        split=split,
        categories=categories,
        images=images,
        annotations=annotations,
        sizes=sizes,
        image_of=_indices(images, [entry["image_id"] for entry in annotations]),
        class_of=_indices(categories, [entry["category_id"] for entry in annotations]),
        boxes=boxes,
        crowd=np.array([entry.get("iscrowd") == 1 for entry in annotations], bool),
        malformed=(),
    )
    no_box = [
        Finding(
            "malformed-box",
            "error",
            table.annotation(int(i)),
            f"bbox is {_short(annotations[i].get('bbox'))}",
            "write four finite numbers: x, y, width, height in pixels",
        )
        for i in np.flatnonzero(np.isnan(boxes).any(1))
    ]
    no_size = [
        Finding(
            "no-size",
            "error",
            table.image(int(i)),
            f"its width is {_short(images[i].get('width'))}, its height {_short(images[i].get('height'))}",
            "write both in pixels",
        )
        for i in np.flatnonzero(np.isnan(sizes).any(1))
    ]
    return replace(table, malformed=(*malformed, *no_box, *no_size))


def _entries(split: Split, section: str, fields: tuple[str, ...], malformed: list[Finding]) -> list[dict[str, Any]]:
    """The entries of a section that have an id and the fields; ids, of whatever they are, are numbers or strings."""
    found = split.content.get(section)
    entries: list[Any] = found if isinstance(found, list) else []
    ids = [name for name in ("id", *fields) if name.endswith("id")]
    if isinstance(found, list) and _are_whole(entries, fields, ids):
        return entries
    good = [entry for entry in entries if _are_whole([entry], fields, ids)]
    if found is None or not isinstance(found, list):
        if section != "annotations" or split.name != "test":  # test sets are published without
            malformed.append(Finding("malformed-entry", "error", split.name, f'the record has no list "{section}"'))
    else:
        kept = set(map(id, good))
        malformed += [
            Finding(
                "malformed-entry",
                "error",
                f"{split.name}, {section}[{place}]",
                f"the entry is {_short(entry)}",
                f"it needs {', '.join(dict.fromkeys(('id', *fields)))}",
            )
            for place, entry in enumerate(entries)
            if id(entry) not in kept
        ]
    return good


def _are_whole(entries: list[Any], fields: tuple[str, ...], ids: list[str]) -> bool:
    """Whether all of them are dictionaries with the fields; by columns, since there are many."""
    if not set(map(type, entries)) <= {dict}:
        return False
    try:
        columns = {name: [entry[name] for entry in entries] for name in dict.fromkeys((*ids, *fields))}
    except KeyError:
        return False
    return all(set(map(type, columns[name])) <= {int, str} for name in ids)


def _indices(entries: list[dict[str, Any]], ids: Iterable[int | str]) -> Ints:
    place = {entry["id"]: index for index, entry in reversed(list(enumerate(entries)))}
    return np.array([place.get(each, -1) for each in ids], np.int64)


def _numbers(rows: list[Any], count: int) -> Floats:
    """(len(rows), count), NaN in the rows that are not ``count`` finite numbers."""
    try:
        table = np.array(rows)  # strings, None and rows of other lengths give other types, or raise
    except ValueError:
        table = np.empty(0, object)
    if table.dtype.kind not in "if" or table.shape != (len(rows), count):
        table = np.array([row if _are_numbers(row, count) else [np.nan] * count for row in rows], np.float64)
    table = table.reshape(len(rows), count).astype(np.float64)
    table[~np.isfinite(table).all(1)] = np.nan
    return table


def _are_numbers(row: Any, count: int) -> bool:
    return (
        isinstance(row, (list, tuple))
        and len(row) == count
        and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in row)
        and all(abs(value) <= sys.float_info.max for value in row)
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."
