"""Boxes, one by one: without area, beyond their image, tiny, very long, as large as the image; images without any."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lors_det.data.doctor.box_form import recognise_form
from lors_det.data.doctor.case import TRAINING_SIZE, Case
from lors_det.data.doctor.sizes import has_other_size
from lors_det.data.doctor.table import Floats, Mask, Table
from lors_det.data.record import Finding, Level
from lors_det.data.words import are, counted, have

TINY_PX = 2.0
LEAST_PX = 1.0
"""Of a box that mmdet trains on."""

LONGEST_ASPECT = 30.0
WHOLE = 0.98
"""Of both sides of the image."""

_ROUNDING_PX = 1.0
"""What a box may go beyond its image: tools that count pixels from 1 do."""
_MANY = 0.1
_FEW_BOXES = 20


def no_area(table: Table) -> Mask:
    """(M,) boxes whose width or height is not positive."""
    return np.asarray((table.boxes[:, 2:] <= 0).any(1))


def overhang(table: Table) -> Floats:
    """(M,) by how many pixels a box goes beyond its image, on the side where that is most; NaN if unknown."""
    corner = table.boxes[:, :2] + table.boxes[:, 2:]
    beyond = np.concatenate([-table.boxes[:, :2], corner - table.size_of], axis=1)
    return np.asarray(np.max(beyond, axis=1), np.float64)


def outside(table: Table) -> Mask:
    """(M,) boxes with an area, of which nothing lies in the image."""
    corner = table.boxes[:, :2] + table.boxes[:, 2:]
    apart = (corner <= 0).any(1) | (table.boxes[:, :2] >= table.size_of).any(1)
    return np.asarray(apart & ~no_area(table) & table.usable)


def check_boxes(case: Case) -> Iterator[Finding]:
    """Findings about single boxes.

    A split whose boxes are in another form has that one finding (:mod:`box_form`), and an image of another size than
    annotated that one (:mod:`sizes`): where their boxes seem to lie means nothing.
    """
    for table in case.tables:
        if recognise_form(table) is not None:
            continue
        elsewhere = has_other_size(case, table)
        judged = table.usable & ~elsewhere[table.image_of]
        empty = no_area(table)
        yield from _each(
            table, "no-area", "warning", empty & table.usable, "it has no area", "drop it or draw it again"
        )
        apart = outside(table) & judged
        yield from _each(table, "outside", "warning", apart, "it lies outside of the image", "drop it or draw it again")
        judged &= ~empty & ~apart
        beyond = overhang(table)
        far = beyond > np.maximum(2 * _ROUNDING_PX, 0.02 * table.size_of.max(1))
        near = (beyond > _ROUNDING_PX) & ~far
        yield from _each(
            table, "partly-outside", "warning", far & judged, "a part lies outside of the image", "clip it"
        )
        yield from _each(table, "partly-outside", "note", near & judged, "an edge lies outside of the image", "clip it")
        yield from _sizes(case, table, judged)


def _sizes(case: Case, table: Table, judged: Mask) -> Iterator[Finding]:
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = table.boxes[:, 2:]
        shown = sides.min(1) * training_scale(table.size_of, case.training_size)
        aspect = sides.max(1) / sides.min(1)
        whole = (sides / table.size_of).min(1) >= WHOLE
    size = "{} x {}".format(*case.training_size)
    if case.training_size == TRAINING_SIZE:
        size += ", COCO's size (of a config, its own counts)"
    kinds = {
        "tiny": (
            shown < TINY_PX,
            f"less than {TINY_PX:g} pixels wide or high once the image fits into {size}",
            "train at a larger size, or on tiles of the images",
        ),
        "below-a-pixel": (
            sides.min(1) < LEAST_PX,
            f"less than {LEAST_PX:g} pixel wide or high: it is not trained on, and an evaluation counts it as missed",
            "drop it or draw it again",
        ),
        "aspect": (aspect > LONGEST_ASPECT, f"more than {LONGEST_ASPECT:g} times as long as wide", "look at it"),
        "whole-image": (whole, "it is as large as the image", "check that it is of one object"),
    }
    count = int(judged.sum())
    for kind, (mask, what, remedy) in kinds.items():
        found = mask & judged
        yield from _each(table, kind, "note", found, what, remedy)
        share = found.sum() / max(count, 1)
        if share > _MANY and count >= _FEW_BOXES:
            yield Finding(f"many-{kind}", "warning", table.name, f"{share:.0%} of its boxes: {what}", remedy)


def training_scale(sizes: Floats, fit_into: tuple[int, int]) -> Floats:
    """(n,) by how much images of (n, 2) pixels are scaled to fit into a size, lying or standing, as Resize does."""
    longest, shortest = max(fit_into), min(fit_into)
    return np.asarray(np.minimum(longest / sizes.max(1), shortest / sizes.min(1)))


def check_crowds(case: Case) -> Iterator[Finding]:
    """Boxes that count for nothing."""
    for table in case.tables:
        if number := int(table.crowd.sum()):
            what = (
                f"{counted(number, 'box')} of {len(table.crowd):,} {are(number)} of crowds, or difficult as Pascal VOC "
            )
            what += "has it: neither trained on nor counted as missed"
            yield Finding("crowd", "note", table.name, what)


def check_empty_images(case: Case) -> Iterator[Finding]:
    """Images without a box: negatives, if they were meant as such."""
    for table in case.tables:
        without = len(table.images) - len(np.unique(table.image_of[table.image_of >= 0]))
        if without and without < len(table.images):
            yield Finding(
                "empty-images",
                "note",
                table.name,
                f"{without:,} of {counted(len(table.images), 'image')} ({without / len(table.images):.1%}) "
                f"{have(without)} no box",
                "right if they show none of the classes: fine-tuning configs learn from them, and those with "
                "filter_cfg.filter_empty_gt leave them out",
            )
        elif without and (table.name != "test" or len(table.annotations)):
            yield Finding(
                "no-box",
                "error",
                table.name,
                f"none of its images ({without:,}) has a box",
                "annotate them, or drop it",
            )


def _each(table: Table, kind: str, level: Level, mask: Mask, what: str, remedy: str) -> Iterator[Finding]:
    for index in np.flatnonzero(mask):
        left, top, width, height = (f"{value:.6g}" for value in table.boxes[index])
        box = f"box of {width} x {height} pixels at ({left}, {top})"
        yield Finding(kind, level, table.annotation(int(index)), f"{box}: {what}", remedy)
