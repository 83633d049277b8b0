"""Splits: what folders and files call them, and a val split for sets that have none."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lors_det.data.record import Finding, Split
from lors_det.errors import InputError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

ALIASES: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
"""What the splits are called; "trainval" is none of them, since it stands beside both."""

# words that may stand beside an alias in the name of a folder or list that is a split: images_train, train-labels
_BESIDE = {"annotation", "annotations", "data", "image", "images", "img", "imgs", "jpegimages", "label", "labels"}
_BESIDE |= {"list", "set", "split", "xml", "xmls"}


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z]+", name.lower()) if word]


def split_called(name: str) -> SplitName | None:
    """The split that is called so: ``train``, ``train2017``, ``images_val``; None for ``dog_train``, ``testimony``."""
    words = [word for word in _words(name) if word not in _BESIDE]
    return ALIASES.get(words[0]) if len(words) == 1 else None


def split_mentioned(name: str) -> SplitName | None:
    """The first split that a name mentions as a word: ``instances_train2017``, ``blood-cells.val``."""
    return next((ALIASES[word] for word in _words(name) if word in ALIASES), None)


def split_of_folders(folder: str) -> SplitName | None:
    """The split of a file in ``folder``, a path relative to the set: the outermost folder that is called like one."""
    return next((split for part in folder.split("/") if (split := split_called(part))), None)


def by_folder(
    paths: Iterable[str], root: Path, what: str, findings: list[Finding]
) -> tuple[dict[SplitName, list[str]], dict[SplitName, str]]:
    """Files by the split that a folder of theirs is called like, and these folders; all are "train" where none is."""
    parts: dict[SplitName | None, list[str]] = {}
    for path in paths:
        parts.setdefault(split_of_folders(os.path.relpath(os.path.dirname(path), root)), []).append(path)
    rest = parts.pop(None, [])
    found = {split: parts[split] for split in SPLITS if split in parts}
    if not found:
        return {"train": rest}, {"train": f"all {what}"}
    if rest:
        some = ", ".join(os.path.relpath(path, root) for path in rest[:3])
        text = f"{len(rest)} {what} are in no folder of a split ({some}, ...) and are left out"
        findings.append(Finding("no-split", "warning", root.name, text, "move them into one"))
    sources = {}
    for split, part in found.items():
        folders = sorted({os.path.relpath(os.path.dirname(path), root) for path in part})
        sources[split] = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
    return found, sources


def _origin(file_name: str) -> str:
    """Augmented copies of one picture, as exports name them (``x_jpg.rf.4f0a.jpg``), stay on one side of a split."""
    return re.sub(r"\.rf\.[0-9A-Za-z]+(?=\.[^.]*$)", "", file_name)


def _place(file_name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    digest = hashlib.blake2b(_origin(file_name).encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def chosen_for_val(file_names: Iterable[str], fraction: float) -> set[str]:
    """Of distinct file names those whose hash is below ``fraction``; at least one, and never all.

    A name's side depends on nothing but the name, so it stays when images are added, other than where one side would
    be empty: then the name with the least hash is taken, or the one with the greatest is left.

    Raises:
        InputError: if there are fewer than two names, or ``fraction`` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the share of val is {fraction:g}, it must be above 0 and below 1")
    names = sorted(set(file_names), key=lambda name: (_place(name), name))
    if len(names) < 2:
        raise InputError(f"{len(names)} images cannot be split into train and val; at least 2 are needed")
    chosen = {name for name in names if _place(name) < fraction} or {names[0]}
    return chosen if len(chosen) < len(names) else chosen - {names[-1]}


def part_of(content: Mapping[str, Any], file_names: set[str], *, keep: bool) -> dict[str, Any]:
    """The record of the images that are in ``file_names`` (or, with ``keep`` False, are not), with their ids."""
    images = [image for image in content["images"] if (image["file_name"] in file_names) == keep]
    ids = {image["id"] for image in images}
    annotations = [annotation for annotation in content["annotations"] if annotation["image_id"] in ids]
    return {**content, "images": images, "annotations": annotations}


def complete(splits: Mapping[str, Split], val_fraction: float) -> dict[str, Split]:
    """The splits in their order, with a val of ``val_fraction`` of train where there is none.

    Raises:
        InputError: if there is no train, or it has too few images to be split.
    """
    if "train" not in splits:
        raise InputError(f"there is no train split, only {', '.join(splits) or 'empty ones'}; name the folder train")
    found = dict(splits)
    if "val" not in found:
        train = found["train"]
        chosen = chosen_for_val((image["file_name"] for image in train.content["images"]), val_fraction)
        sides: tuple[tuple[SplitName, bool], ...] = (("train", False), ("val", True))
        for name, keep in sides:
            share = 100 * (val_fraction if keep else 1 - val_fraction)
            found[name] = replace(
                train,
                name=name,
                content=part_of(train.content, chosen, keep=keep),
                source=f"{share:.3g} % of {train.source}, by a hash of the file names",
                annotation_file=None,
            )
    return {name: found[name] for name in SPLITS if name in found}
