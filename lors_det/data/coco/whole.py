"""A COCO record made whole: what can be filled in is, what cannot be used is left out, and both are told."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lors_det.data.coco.boxes import box_of_outline, lies_inside, usable
from lors_det.data.coco.categories import usable_categories
from lors_det.data.coco.ids import Id, Known, as_id, numbered, same
from lors_det.data.coco.notes import Notes
from lors_det.data.coco.places import Elsewhere, without_folders
from lors_det.data.images import displayed_size, is_image
from lors_det.data.listing import Listing
from lors_det.data.record import Finding
from lors_det.errors import InputError


@dataclass(frozen=True)
class Whole:
    """A record in which every id is known, every image exists and every box can be used."""

    content: dict[str, Any]
    alike: bool
    """Whether it is the file's content, but for boxes without area."""
    without_area: int
    """How many boxes without area the file has beside it."""


def whole(
    content: Mapping[str, Any],
    folder: str,
    skipped: int,
    *,
    where: str,
    listing: Listing,
    elsewhere: Elsewhere,
    findings: list[Finding],
) -> Whole:
    """What can be used of a COCO file.

    Args:
        content: with lists of images, categories and annotations.
        folder: of its images.
        skipped: how many first folders of each ``file_name`` are left out.
        where: the file, for findings.
        listing: to look for images.
        elsewhere: where images are that the folder has not.
        findings: grows.
    """
    notes = Notes(where, findings)
    images, images_alike = _images(content["images"], folder, skipped, listing, elsewhere, notes)
    categories, names, categories_alike = usable_categories(content["categories"], notes)
    annotations, boxes_alike, without_area = _annotations(
        content["annotations"], content["images"], images, names, folder, notes
    )
    notes.tell()
    made = {**content, "images": list(images.values()), "annotations": annotations, "categories": categories}
    return Whole(made, images_alike and categories_alike and boxes_alike, without_area)


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def _is_crowd(value: Any) -> bool | None:
    """Whether an annotation is of a crowd, as tables write it too; None for what is no answer."""
    if isinstance(value, str):
        return {"": False, "0": False, "false": False, "1": True, "true": True}.get(value.strip().lower())
    if value is None or value != value:  # missing; in tables, not a number
        return False
    return bool(value) if isinstance(value, (int, float)) else None


def _images(
    entries: list[Any], folder: str, skipped: int, listing: Listing, elsewhere: Elsewhere, notes: Notes
) -> tuple[dict[Id, dict[str, Any]], bool]:
    """The images that exist, by the ids of the file; and whether these are the entries as they are."""
    found: dict[Id, dict[str, Any]] = {}
    alike = not skipped
    names_of: dict[Id, set[str]] = {}
    for entry in entries:
        image_id = as_id(entry.get("id")) if isinstance(entry, dict) else None
        if image_id is not None and isinstance(entry.get("file_name"), str):
            names_of.setdefault(image_id, set()).add(entry["file_name"])
    for number, entry in enumerate(entries):
        image_id = as_id(entry.get("id")) if isinstance(entry, dict) else None
        if image_id is None or not isinstance(entry.get("file_name"), str):
            notes.warn("malformed-entry", f"images[{number}] lacks id or file_name; it is left out")
            alike = False
            continue
        if len(names := names_of[image_id]) > 1:
            others = ", ".join(sorted(names - {entry["file_name"]})[:3])
            what = f"the image id {image_id} of {entry['file_name']} is also that of {others}"
            what = f"{what}; they are left out with all boxes of that id, for whose a box is cannot be told"
            notes.warn("duplicate-image-id", what, "give each image its own", error=True)
            alike = False
            continue
        image = entry
        name = without_folders(entry["file_name"], skipped) if skipped else entry["file_name"]
        if name is not None and "\\" in name and not listing.holds(f"{folder}/{name}"):
            name = name.replace("\\", "/")
        if name is not None and not listing.holds(f"{folder}/{name}") and (found_at := elsewhere.of(name)) is not None:
            notes.counts["the image is in another folder than most"] += 1
            name = os.path.relpath(found_at, folder)
        path = os.path.join(folder, name or "")
        if name is None or not listing.holds(path):
            notes.warn("missing-image", f"{entry['file_name']} does not exist and is left out", "add the image")
            alike = False
            continue
        if image_id in found:
            what = f"{entry['file_name']}, of the image id {image_id}, is listed twice"
            notes.warn("duplicate-image-id", f"{what}; once is left out", "list it once", error=True)
            alike = False
            continue
        if not is_image(path):
            suffix = os.path.splitext(path)[1].lower() or "no suffix"
            notes.counts[f"the image has {suffix}, which lors-det infer passes over; save it as PNG or JPEG,"] += 1
        if name != entry["file_name"]:
            image, alike = {**image, "file_name": name}, False
        if not (_is_positive(entry.get("width")) and _is_positive(entry.get("height"))):
            alike = False
            try:
                width, height = displayed_size(path)
            except InputError as error:
                notes.warn("unreadable-image", f"{error}")
                continue
            image = {**image, "width": width, "height": height}
            notes.counts["the image's size is filled in"] += 1
        if not same(entry["id"], image_id):
            image, alike = {**image, "id": image_id}, False
        found[image_id] = image
    if numbers := numbered(found):
        notes.counts["images, whose ids are numbers and text, are numbered anew:"] = len(found)
        return {image_id: {**image, "id": numbers[image_id]} for image_id, image in found.items()}, False
    return found, alike


def _annotations(
    entries: list[Any],
    listed: list[Any],
    images: Mapping[Id, Mapping[str, Any]],
    categories: Mapping[Id, int],
    folder: str,
    notes: Notes,
) -> tuple[list[dict[str, Any]], bool, int]:
    """The annotations that can be used; whether they are the entries but for those without area; how many those are."""
    known_images = Known(each for e in listed if isinstance(e, dict) and (each := as_id(e.get("id"))) is not None)
    known_categories = Known(categories)
    found: list[dict[str, Any]] = []
    doubtful: list[int] = []  # numbers in `found` of boxes without area or out of their images
    alike = True
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"image_id", "category_id"} <= entry.keys():
            notes.warn("malformed-entry", f"annotations[{number}] lacks image_id or category_id; it is left out")
            alike = False
            continue
        image_id, category_id = known_images.of(entry["image_id"]), known_categories.of(entry["category_id"])
        image = None if image_id is None else images.get(image_id)
        category = None if category_id is None else categories.get(category_id)
        if image is None or category is None:
            alike = False
            if image_id is None:
                what = f"annotations[{number}] is of the image {entry['image_id']!r}, which is not listed"
                notes.warn("unknown-image", f"{what}; it is left out")
            elif category is None:
                what = f"annotations[{number}] is of the category {entry['category_id']!r}, which is not listed"
                notes.warn("class-range", f"{what}; it is left out", "correct the categories", error=True)
            continue
        try:
            inside = lies_inside(entry["bbox"], image)
            fit = inside or all(map(math.isfinite, entry["bbox"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            alike = False
            box = None if entry.get("bbox") else box_of_outline(entry.get("segmentation"), image)
            fit = box is not None
            if box is not None:
                notes.counts["bbox is that of the outline"] += 1
                entry, inside = {**entry, "bbox": box}, lies_inside(box, image)
        if not fit:
            alike = False
            what = f"annotations[{number}] has bbox {str(entry.get('bbox'))[:60]}, not x, y, width, height"
            notes.warn("malformed-box", f"{what}; it is left out", "correct it")
            continue
        if not (same(entry["category_id"], category) and same(entry["image_id"], image["id"])):
            if as_id(entry["image_id"]) != image_id or as_id(entry["category_id"]) != category_id:
                notes.counts["ids are text where those listed are numbers, or the other way; they are matched"] += 1
            entry, alike = {**entry, "category_id": category, "image_id": image["id"]}, False
        area, (w, h) = entry.get("area"), entry["bbox"][2:]
        # mmdet trains on no box whose area is 0 or less; a box that has none is left out anyway
        has_area = _is_positive(area) or (isinstance(area, (int, float)) and not (w > 0 and h > 0))
        if not has_area or entry.get("iscrowd") not in (0, 1):
            notes.counts["area or iscrowd is filled in"] += 1
            crowd = _is_crowd(entry.get("iscrowd"))
            if crowd is None:
                what = f"annotations[{number}] has iscrowd {str(entry['iscrowd'])[:60]!r}, neither 0 nor 1"
                notes.warn("malformed-entry", f"{what}; it is taken for 0", "correct it")
            entry, alike = {**entry, "area": area if has_area else w * h, "iscrowd": int(crowd or 0)}, False
        if entry.get("ignore") in (1, True) and not entry["iscrowd"]:
            # mmdet learns nothing of such a box, and pycocotools would count it as missed
            notes.counts["ignore becomes iscrowd, which neither trains nor counts as missed,"] += 1
            entry, alike = {**entry, "iscrowd": 1}, False
        if not inside:
            doubtful.append(len(found))
        found.append(entry)
    if renumbered := _numbered_from_one(found, notes):
        found, alike = renumbered, False
    # annotations name images by the ids that they have now
    by_id = {image["id"]: image for image in images.values()}
    found, as_given, without_area = usable(found, doubtful, by_id, folder, notes)
    return found, alike and as_given, without_area


def _numbered_from_one(annotations: list[dict[str, Any]], notes: Notes) -> list[dict[str, Any]] | None:
    """The annotations with ids from 1, where theirs are not whole numbers above 0, each its own; else None."""
    ids = [entry.get("id") for entry in annotations]
    whole_ids = {each for each in ids if type(each) is int}
    if len(whole_ids) < len(ids):
        notes.counts["annotation ids are given anew, as some were missing, no whole numbers or used twice,"] = len(ids)
    elif 0 in whole_ids:
        what = "an annotation has the id 0, which pycocotools takes for none, so that its box counts as missed"
        notes.findings.append(Finding("annotation-id-0", "note", notes.where, f"{what}; ids are given anew, from 1"))
    else:
        return None
    return [{**entry, "id": number} for number, entry in enumerate(annotations, start=1)]
