"""The steps of a repair, each from a split's table to its content; the same content where there is nothing to mend.

Their order matters: what is unknown goes first, sizes are corrected before listings of one file become one and before
boxes are placed in them, and only then boxes are dropped and clipped. They are in one file because they are that one
list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lors_det.data.doctor.box_form import in_pixels, recognise_form
from lors_det.data.doctor.boxes import no_area, outside, overhang
from lors_det.data.doctor.case import Case
from lors_det.data.doctor.classes import id_shift
from lors_det.data.doctor.duplicates import first_listing, repeated_boxes
from lors_det.data.doctor.sizes import has_other_size, other_sizes
from lors_det.data.doctor.table import Floats, Mask, Table

Content = dict[str, Any]
Did = Callable[[int, str, str], None]
"""Told how many, of what in the singular, and what was done to them; nothing was if there are none."""
Step = Callable[[Case, Table, Did], Content]


def _drop_malformed(case: Case, table: Table, did: Did) -> Content:
    good = np.asarray(np.isfinite(table.boxes).all(1))
    entries = {"categories": table.categories, "images": table.images, "annotations": table.annotations}
    unusable = sum(len(table.split.content.get(section) or []) - len(found) for section, found in entries.items())
    did(unusable, "malformed entry", "dropped")
    did(int((~good).sum()), "annotation", "without a box of four numbers dropped")
    if unusable or not good.all():
        return {**table.split.content, **entries, "annotations": _chosen(table.annotations, good)}
    return table.split.content


def _fill_in_sizes(case: Case, table: Table, did: Did) -> Content:
    images = list(table.images)
    sizeless = np.flatnonzero(~np.isfinite(table.sizes).all(1)) if case.facts else ()
    filled = [index for index in sizeless if case.facts[table.path(int(index))].size is not None]
    for index in filled:
        images[index] = _of_size(images[index], case.facts[table.path(int(index))].size)
    did(len(filled), "image", "given the size of the file")
    return {**table.split.content, "images": images} if filled else table.split.content


def _shift_ids(case: Case, table: Table, did: Did) -> Content:
    shift = id_shift(table)
    if not shift:
        return table.split.content
    did(len(table.annotations), "annotation", f"given a category id shifted by {shift:+d}")
    shifted = [{**each, "category_id": each["category_id"] + shift} for each in table.annotations]
    return {**table.split.content, "annotations": shifted}


def _drop_unknown(case: Case, table: Table, did: Did) -> Content:
    did(int((table.image_of < 0).sum()), "annotation", "of images that are not listed dropped")
    unlisted = (table.image_of >= 0) & (table.class_of < 0)
    did(int(unlisted.sum()), "annotation", "of unlisted categories dropped")
    return _without(table, (table.image_of < 0) | (table.class_of < 0))


def _drop_images(case: Case, table: Table, did: Did) -> Content:
    problems = [case.facts[table.path(i)].problem if case.facts else None for i in range(len(table.images))]
    for problem in ("missing", "truncated", "undecodable"):
        did(sum(each == problem for each in problems), f"{problem} image", "dropped")
    ids = {image["id"] for image, problem in zip(table.images, problems) if problem is not None}
    bad = np.array([image["id"] in ids for image in table.images], bool)  # of one id, no box tells whose it is
    did(int(bad.sum()) - sum(each is not None for each in problems), "image", "of the same id as one of these dropped")
    if not bad.any():
        return table.split.content
    kept = _without(table, bad[table.image_of])
    return {**kept, "images": _chosen(table.images, ~bad)}


def _merge_listings(case: Case, table: Table, did: Did) -> Content:
    first = first_listing(table)
    # boxes of another size are in other pixels
    alike = np.isclose(table.sizes, table.sizes[first], rtol=0, atol=1, equal_nan=True).all(1)
    again = (first != np.arange(len(first))) & alike
    did(int(again.sum()), "repeated listing", "of an image merged with its first")
    if not again.any():
        return table.split.content
    moved = [
        {**each, "image_id": table.images[first[image]]["id"]} if again[image] else each
        for each, image in zip(table.annotations, table.image_of)
    ]
    return {**table.split.content, "images": _chosen(table.images, ~again), "annotations": moved}


def _correct_sizes(case: Case, table: Table, did: Did) -> Content:
    boxes, sized, moved = table.boxes.copy(), list(table.images), 0
    touched = np.zeros(len(boxes), bool)
    others = other_sizes(case, table)
    order = np.argsort(table.image_of, kind="stable")
    bounds = np.searchsorted(table.image_of[order], np.arange(len(table.images) + 1))
    for one in others:
        its = order[bounds[one.image] : bounds[one.image + 1]]
        corrected = one.correct(table.boxes[its])
        if corrected is None:
            continue
        sized[one.image] = _of_size(sized[one.image], one.displayed)
        moved += 1
        touched[its] = (corrected != boxes[its]).any(1)
        boxes[its] = corrected
    did(moved, "image", "given the size as it is displayed")
    did(int(touched.sum()), "box", "moved to the pixels of the image as it is displayed")
    if not moved:
        return table.split.content
    return {**table.split.content, "images": sized, "annotations": _placed(table, boxes, touched)}


def _convert_form(case: Case, table: Table, did: Did) -> Content:
    form = recognise_form(table)
    if form is None or form == "relative, unclear":
        return table.split.content
    boxes = table.boxes.copy()
    ours = table.usable if form.startswith("relative") else np.asarray(np.isfinite(boxes).all(1))
    boxes[ours] = in_pixels(boxes[ours], table.size_of[ours], form)
    did(int(ours.sum()), "box", f"converted ({form})")
    did(int((~ours).sum()), "box", "that cannot be converted dropped, for their image's size is not known")
    return {**table.split.content, "annotations": _chosen(_placed(table, boxes, ours), ours)}


def _drop_and_clip(case: Case, table: Table, did: Did) -> Content:
    empty = no_area(table)
    # where boxes seem to lie means nothing while their form or their image's size could not be mended
    sure = table.usable & ~empty & ~has_other_size(case, table)[table.image_of] & (recognise_form(table) is None)
    apart = outside(table) & sure
    beyond = (overhang(table) > 0) & sure & ~apart
    did(int(empty.sum()), "box", "without area dropped")
    did(int(apart.sum()), "box", "outside of the image dropped")
    did(int(beyond.sum()), "box", "clipped to the image")
    low = table.boxes[:, :2].clip(min=0)
    high = np.minimum(table.boxes[:, :2] + table.boxes[:, 2:], table.size_of)
    boxes = np.where(beyond[:, None], np.concatenate([low, high - low], axis=1), table.boxes)
    placed = {**table.split.content, "annotations": _placed(table, boxes, beyond)} if beyond.any() else None
    gone = empty | apart
    content = placed or table.split.content
    return {**content, "annotations": _chosen(content["annotations"], ~gone)} if gone.any() else content


def _drop_repeated(case: Case, table: Table, did: Did) -> Content:
    repeated = repeated_boxes(table)
    did(int(repeated.sum()), "repeated box", "dropped")
    return _without(table, repeated)


def _number_anew(case: Case, table: Table, did: Did) -> Content:
    ids = {each["id"] for each in table.annotations}
    if len(ids) == len(table.annotations) and 0 not in ids:
        return table.split.content
    why = "an id was 0" if len(ids) == len(table.annotations) else "ids were used twice"
    did(len(table.annotations), "annotation", f"numbered anew, for {why}")
    numbered = [{**each, "id": number} for number, each in enumerate(table.annotations, start=1)]
    return {**table.split.content, "annotations": numbered}


STEPS: tuple[Step, ...] = (
    _drop_malformed,
    _fill_in_sizes,
    _shift_ids,
    _drop_unknown,
    _drop_images,
    _correct_sizes,
    _merge_listings,
    _convert_form,
    _drop_and_clip,
    _drop_repeated,
    _number_anew,
)


def _chosen(entries: Sequence[Any], mask: Mask) -> list[Any]:
    return [entry for entry, kept in zip(entries, mask) if kept]


def _without(table: Table, mask: Mask) -> Content:
    if not mask.any():
        return table.split.content
    return {**table.split.content, "annotations": _chosen(table.annotations, ~mask)}


def _of_size(image: dict[str, Any], size: tuple[int, int] | None) -> dict[str, Any]:
    assert size is not None
    return {**image, "width": size[0], "height": size[1]}


def _placed(table: Table, boxes: Floats, mask: Mask) -> list[dict[str, Any]]:
    """The annotations, those of the mask with new boxes; an outline would no longer fit, so it is left out."""
    placed = list(table.annotations)
    for index in np.flatnonzero(mask):
        rest = {key: value for key, value in placed[index].items() if key != "segmentation"}
        box = boxes[index].tolist()
        placed[index] = {**rest, "bbox": box, "area": box[2] * box[3]}
    return placed
