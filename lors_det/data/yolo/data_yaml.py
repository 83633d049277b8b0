"""The YAML file of a YOLO set: its class names, and where the images of its splits are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lors_det.data.images import images_below
from lors_det.data.listing import Listing
from lors_det.data.record import Finding, Level
from lors_det.data.splits import ALIASES, SplitName
from lors_det.data.words import counted
from lors_det.data.yolo.labels import MOST_CLASSES
from lors_det.data.yolo.layout import Layout, existing, from_folders, images_listed
from lors_det.errors import InputError


def yaml_of(root: Path, listing: Listing) -> list[Path]:
    """The YAML files that describe a set: data.yaml, dataset.yaml, and those that have names and splits.

    Raises:
        InputError: if the first of data.yaml and dataset.yaml is malformed.
    """
    found = [name for name in listing.files(str(root)) if name.lower().endswith((".yaml", ".yml"))]
    found.sort(key=lambda name: (not name.startswith("data."), not name.startswith("dataset."), name))
    paths: list[Path] = []
    for name in found:
        expected = name.startswith(("data.", "dataset."))
        try:
            content = _load(root / name)
        except InputError:
            if expected and not paths:
                raise
            continue
        if not isinstance(content, dict) or not ("names" in content or "nc" in content):
            continue
        if expected or any(ALIASES.get(key) for key in content if isinstance(key, str)):
            paths.append(root / name)
    return paths


def _load(path: Path) -> Any:
    """Mappings, lists and texts, each as it was written: a class ``no``, ``007`` or ``1.0`` keeps its name."""
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}; mend the file") from error


def from_yaml(path: Path, listing: Listing, findings: list[Finding]) -> Layout:
    """The layout that a YAML file describes: names or nc, path, train, val and test.

    Each split is a folder, a list of folders, or a text file that lists images. Without any, splits are told by the
    folders' names. What does not exist is told.

    Raises:
        InputError: if names or nc are malformed.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} describes no set: it must have names, and train, val or test, each with its value")
    names = _names(content, path, findings)
    bases = [str(path.parent)]
    if _stated(content.get("path")):
        bases.insert(0, os.path.normpath(path.parent / content["path"]))
    images: dict[SplitName, list[str]] = {}
    sources: dict[SplitName, list[str]] = {}
    taken: dict[str, tuple[SplitName, str]] = {}  # by place: split and entry
    missing: list[tuple[SplitName, str]] = []
    described = False
    for key, value in content.items():
        split = ALIASES.get(key) if isinstance(key, str) else None
        if split is None:
            continue
        for entry in value if isinstance(value, list) else [value]:
            if not _stated(entry):
                continue  # stands for no such split
            described = True
            place = existing(entry, bases)
            # where only ends of paths exist, train/images and valid/images may both end up in one folder images
            if place is None or (place in taken and taken[place][1] != entry):
                missing.append((split, f"{key} is {entry!r}, which does not exist"))
                continue
            if place in taken and taken[place][0] != split:
                what = f"{key} is {entry!r}, as {taken[place][0]} is: figures would be of images that were learned"
                findings.append(Finding("same-split", "warning", path.name, what, "give it images of its own"))
            taken[place] = (split, entry)
            is_list = place.lower().endswith(".txt")
            found = images_listed(place, bases, listing, findings) if is_list else images_below(place, listing)
            images.setdefault(split, []).extend(found)
            sources.setdefault(split, []).append(os.path.relpath(place, path.parent))
    for split, what in missing:
        level: Level = "error" if split == "train" else "warning"
        made = "; val is made from train" if split == "val" and not images.get(split) else ""
        findings.append(Finding("missing-folder", level, path.name, what + made, "correct the path"))
    keypoints = "kpt_shape" in content
    if not described:
        laid = from_folders(path.parent, listing, findings)
        return Layout(names, laid.images, laid.sources, keypoints)
    return Layout(
        names,
        {split: list(dict.fromkeys(images[split])) for split in images},
        {split: ", ".join(sources[split]) for split in images},
        keypoints,
    )


def _stated(value: Any) -> bool:
    """Whether a value is a text other than those that YAML has for nothing."""
    return isinstance(value, str) and value.strip() not in ("", "~", "null")


def _names(content: Mapping[str, Any], path: Path, findings: list[Finding]) -> tuple[str, ...]:
    names, count = content.get("names"), _count(content, path)
    if isinstance(names, dict):
        try:
            by_id = {int(key): value for key, value in names.items()}
        except ValueError as error:
            raise InputError(f"{path}: keys of names are {list(names)}, they must be class ids") from error
        if sorted(by_id) != list(range(len(by_id))):
            raise InputError(f"{path}: names has the ids {sorted(by_id)}; they must be 0, 1, 2, ... without a gap")
        names = [by_id[key] for key in sorted(by_id)]
    if count is not None and not isinstance(names, list) and not _stated(names):
        called = "class is called class_0" if count == 1 else f"{count} classes are called class_0, class_1, ..."
        findings.append(Finding("class-names", "warning", path.name, f"has no names; the {called}", "add names"))
        return tuple(f"class_{index}" for index in range(count))
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(f"{path}: names is {names!r}, it must list the classes")
    if count is not None and count != len(names):
        what = f"nc is {count}, but names lists {counted(len(names), 'class')}; names counts"
        findings.append(Finding("class-count", "warning", path.name, what, "correct nc"))
    return tuple(name.strip() for name in names)


def _count(content: Mapping[str, Any], path: Path) -> int | None:
    """``nc``, the number of classes; None where it is not stated."""
    stated = content.get("nc")
    if stated is None or stated == "":
        return None
    if not isinstance(stated, str) or not stated.isdecimal() or not 1 <= int(stated) <= MOST_CLASSES:
        raise InputError(f"{path}: nc is {stated!r}, it must be the number of classes")
    return int(stated)
