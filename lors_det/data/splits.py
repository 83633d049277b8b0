"""Splits: what folders and files call them, and one made two for sets without val."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lors_det.data.chosen_val import chosen_for_val
from lors_det.data.record import Finding, Split
from lors_det.data.words import are, counted
from lors_det.errors import InputError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

VAL_FRACTION = 0.2
"""Share of train that becomes val where there is none."""

ALIASES: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "valset", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
"""What the splits are called; "trainval" is none of them, since it stands beside both."""

# words that may stand beside an alias in the name of a folder or list that is a split: images_train, train-labels
_BESIDE = {"annotation", "annotations", "data", "image", "images", "img", "imgs", "jpegimages", "label", "labels"}
_BESIDE |= {"autosplit", "list", "set", "split", "xml", "xmls"}
_LOOSELY_BESIDE = {*_BESIDE, "dataset", "ds", "files", "folder", "frames", "photos", "pictures"}
"""Of folders where none is called like a split by the others, and one is train: test_dataset may be all of a set."""


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z]+", name.lower()) if word]


def split_called(name: str, *, loosely: bool = False) -> SplitName | None:
    """The split that is called so: ``train``, ``train2017``, ``images_val``; None for ``dog_train``, ``testimony``."""
    words = [word for word in _words(name) if word not in (_LOOSELY_BESIDE if loosely else _BESIDE)]
    return ALIASES.get(words[0]) if len(words) == 1 else None


def own_first(name: str) -> tuple[bool, str]:
    """Sorts lists of splits: those that Ultralytics' autosplit drew are behind a person's own."""
    return "autosplit" in name.lower(), name


def split_mentioned(name: str) -> SplitName | None:
    """The first split that a name mentions as a word: ``instances_train2017``, ``blood-cells.val``."""
    return next((ALIASES[word] for word in _words(name) if word in ALIASES), None)


def split_of_folders(folder: str, *, loosely: bool = False) -> SplitName | None:
    """The split of a file in ``folder``, a path relative to the set: the outermost folder that is called like one."""
    return next((split for part in folder.split("/") if (split := split_called(part, loosely=loosely))), None)


def split_apart(folder: str, other: str) -> SplitName | None:
    """The split that a folder is called like, or mentions, below what its path has in common with another's.

    What both lie in tells nothing: of ``train_data/val`` beside ``train_data/annotations`` it is val.
    """
    parts, others = folder.split("/"), other.split("/")
    common = next((n for n, (a, b) in enumerate(zip(parts, others)) if a != b), min(len(parts), len(others)))
    rest = "/".join(parts[common:])
    return split_of_folders(rest) or split_mentioned(rest)


def by_folder(
    paths: Iterable[str], root: Path, what: str, findings: list[Finding]
) -> tuple[dict[SplitName, list[str]], dict[SplitName, str]]:
    """Files by the split that a folder of theirs is called like, and these folders; all are "train" where none is."""
    places = {path: os.path.relpath(os.path.dirname(path), root) for path in paths}
    splits = {path: split_of_folders(place) for path, place in places.items()}
    if not any(splits.values()):
        loosely = {path: split_of_folders(place, loosely=True) for path, place in places.items()}
        splits = loosely if "train" in loosely.values() else splits
    parts: dict[SplitName | None, list[str]] = {}
    for path, split in splits.items():
        parts.setdefault(split, []).append(path)
    rest = parts.pop(None, [])
    found = {split: parts[split] for split in SPLITS if split in parts}
    if not found:
        return {"train": rest}, {"train": "the whole folder"}
    if rest:
        some = ", ".join(os.path.relpath(path, root) for path in rest[:3]) + (", ..." if len(rest) > 3 else "")
        text = f"{counted(len(rest), what)} {are(len(rest))} in no folder of a split ({some}) and left out"
        findings.append(Finding("no-split", "warning", root.name, text, "move them into one"))
    sources = {}
    for split, part in found.items():
        folders = sorted({os.path.relpath(os.path.dirname(path), root) for path in part})
        sources[split] = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
    return found, sources


def part_of(content: Mapping[str, Any], file_names: set[str], *, keep: bool) -> dict[str, Any]:
    """The record of the images that are in ``file_names`` (or, with ``keep`` False, are not), with their ids."""
    images = [image for image in content["images"] if (image["file_name"] in file_names) == keep]
    ids = {image["id"] for image in images}
    annotations = [annotation for annotation in content["annotations"] if annotation["image_id"] in ids]
    return {**content, "images": images, "annotations": annotations}


def complete(splits: Mapping[str, Split], val_fraction: float) -> dict[str, Split]:
    """The splits in their order, with a val of about ``val_fraction`` of train where there is none.

    See :func:`lors_det.data.chosen_val.chosen_for_val`.

    Raises:
        InputError: if there is no train, or it has too few images to be split.
    """
    found = present(splits)
    if "train" not in found:
        raise InputError(
            f"there is no train split, only {', '.join(found)}; name its folder train, or mend what kept it out"
        )
    if "val" not in found:
        train = found["train"]
        chosen = chosen_for_val(train.content, val_fraction)
        number = len(train.content["images"])
        sides: tuple[tuple[SplitName, bool], ...] = (("train", False), ("val", True))
        for name, keep in sides:
            content = part_of(train.content, chosen, keep=keep)
            source = f"{len(content['images']):,} of {counted(number, 'image')} of {train.source}, by their names"
            found[name] = replace(train, name=name, content=content, source=source, annotation_file=None)
    return present(found)


def present(splits: Mapping[str, Split]) -> dict[str, Split]:
    """Those that are there, in their order.

    Raises:
        InputError: if there is none.
    """
    if not splits:
        raise InputError("none of the images can be used")
    return {name: splits[name] for name in SPLITS if name in splits}
