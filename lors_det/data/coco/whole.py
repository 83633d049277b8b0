"""A COCO record made whole: what can be filled in is, what cannot be used is left out, and both are told."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lors_det.data.coco.boxes import box_of_outline, lies_inside, usable
from lors_det.data.coco.files import without_folders
from lors_det.data.coco.notes import Notes
from lors_det.data.images import displayed_size
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
    content: Mapping[str, Any], folder: str, skipped: int, *, where: str, listing: Listing, findings: list[Finding]
) -> Whole:
    """What can be used of a COCO file.

    Args:
        content: with lists of images, categories and annotations.
        folder: of its images.
        skipped: how many first folders of each ``file_name`` are left out.
        where: the file, for findings.
        listing: to look for images.
        findings: grows.
    """
    notes = Notes(where, findings)
    images, images_alike = _images(content["images"], folder, skipped, listing, notes)
    categories, names, categories_alike = _categories(content["categories"], notes)
    annotations, boxes_alike, without_area = _annotations(
        content["annotations"], content["images"], images, names, folder, notes
    )
    notes.tell()
    made = {**content, "images": list(images.values()), "annotations": annotations, "categories": categories}
    return Whole(made, images_alike and categories_alike and boxes_alike, without_area)


def _is_size(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _images(
    entries: list[Any], folder: str, skipped: int, listing: Listing, notes: Notes
) -> tuple[dict[Any, dict[str, Any]], bool]:
    """The images that exist, by id; and whether these are the entries as they are."""
    found: dict[Any, dict[str, Any]] = {}
    alike = not skipped
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str) or not _is_id(entry.get("id")):
            notes.warn("malformed-entry", f"images[{number}] lacks id or file_name; it is left out")
            alike = False
            continue
        image, image_id = entry, entry["id"]
        name = without_folders(entry["file_name"], skipped) if skipped else entry["file_name"]
        if name is not None and "\\" in name and not listing.holds(f"{folder}/{name}"):
            name = name.replace("\\", "/")
        path = os.path.join(folder, name or "")
        if name is None or not listing.holds(path):
            notes.warn("missing-image", f"{entry['file_name']} does not exist and is left out", "add the image")
            alike = False
            continue
        if image_id in found:
            what = f"the image id {image_id} of {entry['file_name']} is {found[image_id]['file_name']}'s too"
            notes.warn("duplicate-image-id", f"{what}; it is left out", "give each image its own", error=True)
            alike = False
            continue
        if name != entry["file_name"]:
            image, alike = {**image, "file_name": name}, False
        if not (_is_size(entry.get("width")) and _is_size(entry.get("height"))):
            alike = False
            try:
                width, height = displayed_size(path)
            except InputError as error:
                notes.warn("unreadable-image", f"{error}")
                continue
            image = {**image, "width": width, "height": height}
            notes.counts["the image's size is filled in"] += 1
        found[image_id] = image
    return found, alike


def _categories(entries: list[Any], notes: Notes) -> tuple[list[dict[str, Any]], dict[Any, Any], bool]:
    """The categories; the id to use for each id; and whether these are the entries as they are."""
    found: dict[str, dict[str, Any]] = {}
    ids: dict[Any, Any] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not _is_id(entry.get("id")):
            notes.warn("malformed-entry", f"categories[{number}] lacks id or name; it is left out", error=True)
        elif entry["id"] in ids:
            what = f"the category id {entry['id']} of {entry['name']} is used twice; the category is left out"
            notes.warn("duplicate-category-id", what, "give each its own", error=True)
        else:
            if entry["name"] in found:
                what = f"{entry['name']} is the name of several categories, which are taken as one"
                notes.warn("class-names-twice", what, "give each a name of its own", error=True)
            ids[entry["id"]] = found.setdefault(entry["name"], entry)["id"]
    return list(found.values()), ids, len(found) == len(entries)


def _annotations(
    entries: list[Any],
    listed: list[Any],
    images: Mapping[Any, Mapping[str, Any]],
    categories: Mapping[Any, Any],
    folder: str,
    notes: Notes,
) -> tuple[list[dict[str, Any]], bool, int]:
    """The annotations that can be used; whether they are the entries but for those without area; how many those are."""
    known = {entry.get("id") for entry in listed if isinstance(entry, dict) and _is_id(entry.get("id"))}
    found: list[dict[str, Any]] = []
    doubtful: list[int] = []  # numbers in `found` of boxes without area or out of their images
    ids: set[Any] = set()
    alike = True
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"image_id", "category_id"} <= entry.keys():
            notes.warn("malformed-entry", f"annotations[{number}] lacks image_id or category_id; it is left out")
            alike = False
            continue
        image = images.get(entry["image_id"]) if _is_id(entry["image_id"]) else None
        category = categories.get(entry["category_id"]) if _is_id(entry["category_id"]) else None
        if image is None or category is None:
            alike = False
            if image is None and not (_is_id(entry["image_id"]) and entry["image_id"] in known):
                what = f"annotations[{number}] is of the image {entry['image_id']!r}, which is not listed"
                notes.warn("unknown-image", f"{what}; it is left out")
            elif category is None:
                what = f"annotations[{number}] is of the category {entry['category_id']!r}, which is not listed"
                notes.warn("class-range", f"{what}; it is left out", "correct the categories", error=True)
            continue
        try:
            inside = lies_inside(entry["bbox"], image)
            fit = inside or all(map(math.isfinite, entry["bbox"]))
        except (KeyError, TypeError, ValueError):
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
        if category != entry["category_id"]:
            entry, alike = {**entry, "category_id": category}, False
        if not isinstance(entry.get("area"), (int, float)) or entry.get("iscrowd") not in (0, 1):
            notes.counts["area or iscrowd is filled in"] += 1
            area = entry.get("area")
            area = area if isinstance(area, (int, float)) else entry["bbox"][2] * entry["bbox"][3]
            entry, alike = {**entry, "area": area, "iscrowd": int(bool(entry.get("iscrowd")))}, False
        if not inside:
            doubtful.append(len(found))
        if _is_id(entry.get("id")):
            ids.add(entry["id"])
        found.append(entry)
    if len(ids) < len(found):
        notes.counts["annotation ids are given anew, as some were missing or used twice,"] = len(found)
        found = [{**entry, "id": number} for number, entry in enumerate(found, start=1)]
        alike = False
    found, as_given, without_area = usable(found, doubtful, images, folder, notes)
    return found, alike and as_given, without_area
