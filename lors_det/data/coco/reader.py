"""COCO sets: an annotation file for each split, and the images wherever they are. Categories are made to agree."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lors_det.data.coco.files import CocoFile, coco_files
from lors_det.data.coco.places import Elsewhere, image_folder
from lors_det.data.coco.whole import whole
from lors_det.data.listing import Listing
from lors_det.data.record import DataFolder, Finding, Level, Split
from lors_det.data.splits import SplitName
from lors_det.data.words import listed
from lors_det.errors import InputError

Content = dict[str, Any]

_REASONS = 3  # of one file of which nothing can be used


def read_coco(root: Path, listing: Listing) -> DataFolder | None:
    """The set of the COCO files in ``root`` or up to three folders below; None where there is no such file.

    The classes are those of train, in its order, then what other splits have besides.

    Raises:
        InputError: if there are annotation files, but no image of theirs is found, or all files are malformed.
    """
    findings: list[Finding] = []
    files = coco_files(root, listing, findings)
    if not files:
        if broken := [finding for finding in findings if finding.kind in ("malformed-file", "no-split")]:
            raise InputError("; ".join(map(str, broken[:3])))
        return None
    contents = _without_umbrella(files, root, findings)
    names = {name: _file_names(content) for name, content in contents.items()}
    splits: dict[SplitName, Split] = {}
    for name, file in files.items():
        split = _read(file, contents[name], name, root, listing, names, findings)
        if split is not None:
            splits[name] = split
    if not splits:
        raise InputError("; ".join(str(each) for each in findings if each.kind in ("no-image", "image-folder")))
    classes, agreeing = _agreeing(splits, findings)
    return DataFolder(root, "COCO", classes, {str(name): split for name, split in agreeing.items()}, tuple(findings))


def _file_names(content: Content) -> list[str]:
    return [e["file_name"] for e in content["images"] if isinstance(e, dict) and isinstance(e.get("file_name"), str)]


def _read(
    file: CocoFile,
    content: Content,
    name: SplitName,
    root: Path,
    listing: Listing,
    names: Mapping[SplitName, Sequence[str]],
    findings: list[Finding],
) -> Split | None:
    where = os.path.relpath(file.path, root)
    entries, own = content["images"], names[name]
    try:
        place = image_folder(file, name, root, listing, names) if own else None
    except InputError as error:
        findings.append(Finding("image-folder", "error", where, str(error)))
        return None
    if place is None:
        what = f"none of its images ({len(entries):,}) is found in {root}" + (f", such as {own[0]}" if own else "")
        findings.append(Finding("no-image", "error", where, what, "put the images beside it, or correct file_name"))
        return None
    elsewhere = Elsewhere(file, name, root, listing)
    made = whole(content, *place, where=where, listing=listing, elsewhere=elsewhere, findings=findings)
    if not made.content["images"] or not made.content["categories"]:
        reasons = [str(finding) for finding in findings if finding.where == where and finding.level != "note"]
        what = "none of its images, or of its categories, can be used"
        findings.append(Finding("no-image", "error", where, f"{what} ({'; '.join(reasons[:_REASONS])})"))
        return None
    # training passes over boxes without area; an evaluation counts them as missed
    as_it_is = file.plain and content is file.content and made.alike and (name == "train" or not made.without_area)
    return Split(name, Path(place[0]), made.content, where, file.path if as_it_is else None)


def _without_umbrella(
    files: Mapping[SplitName, CocoFile], root: Path, findings: list[Finding]
) -> dict[SplitName, Content]:
    """Contents without the category 0 that some exports put first: it has no box, and is the others' supercategory."""
    contents = {name: file.content for name, file in files.items()}
    used = any(e.get("category_id") == 0 for c in contents.values() for e in c["annotations"] if isinstance(e, dict))
    for name, content in contents.items():
        first, *rest = content["categories"]
        if not all(isinstance(category, dict) for category in content["categories"]) or used:
            continue
        if first.get("id") == 0 and rest and all(other.get("supercategory") == first.get("name") for other in rest):
            contents[name] = {**content, "categories": rest}
            what = f"the category {first.get('name')} has no box and names the group of the others; it is left out"
            where = os.path.relpath(files[name].path, root)
            findings.append(Finding("umbrella-category", "note", where, what))
    return contents


def _names(split: Split) -> list[str]:
    return [category["name"] for category in split.content["categories"]]


def _agreeing(
    splits: Mapping[SplitName, Split], findings: list[Finding]
) -> tuple[tuple[str, ...], dict[SplitName, Split]]:
    """The classes, and splits with the same categories in the same order, ids as train has them."""
    reference = splits.get("train", next(iter(splits.values())))
    classes = list(_names(reference))
    for split in splits.values():
        _compare(_names(reference), split, reference, findings)
        classes += [name for name in _names(split) if name not in classes]
    categories = list(reference.content["categories"])
    taken = {category["id"] for category in categories}
    for name in classes[len(categories) :]:
        new = max((number for number in taken if isinstance(number, int)), default=0) + 1
        taken.add(new)
        categories.append({"id": new, "name": name})
    return tuple(classes), {name: _mapped(split, categories) for name, split in splits.items()}


def _compare(expected: Sequence[str], split: Split, reference: Split, findings: list[Finding]) -> None:
    """Tell how the categories of a split differ from the reference's."""
    names = _names(split)
    used = {annotation["category_id"] for annotation in split.content["annotations"]}
    extra = [c for c in split.content["categories"] if c["name"] not in expected]
    missing = [name for name in expected if name not in names]
    if extra:
        what = f"has the categories {listed(c['name'] for c in extra)}, which {reference.source} lacks"
        harmless = not any(c["id"] in used for c in extra)
        remedy = "no box of theirs can be learned; give all files the same categories"
        level: Level = "warning" if harmless else "error"
        findings.append(Finding("class-extra", level, split.source, what, "" if harmless else remedy))
    if missing:
        what = f"lacks the categories {listed(missing)} of {reference.source}; they are added"
        findings.append(Finding("class-missing", "warning", split.source, what))
    if not extra and not missing:
        ids = {category["name"]: category["id"] for category in reference.content["categories"]}
        if names != list(expected):
            what = f"lists the categories in another order than {reference.source}; they are put in that order"
            findings.append(Finding("class-order", "note", split.source, what))
        elif any(ids[category["name"]] != category["id"] for category in split.content["categories"]):
            what = f"numbers the categories otherwise than {reference.source}; they get its numbers"
            findings.append(Finding("class-ids", "note", split.source, what))


def _mapped(split: Split, categories: list[dict[str, Any]]) -> Split:
    """A split with these categories; itself where it has them."""
    own = split.content["categories"]
    if [(c["id"], c["name"]) for c in own] == [(c["id"], c["name"]) for c in categories]:
        return split
    ids = {category["name"]: category["id"] for category in categories}
    new = {category["id"]: ids[category["name"]] for category in own}
    annotations = [{**a, "category_id": new[a["category_id"]]} for a in split.content["annotations"]]
    content = {**split.content, "categories": categories, "annotations": annotations}
    return replace(split, content=content, annotation_file=None)
