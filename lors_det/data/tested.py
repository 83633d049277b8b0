"""A folder as a test takes it: one split, its categories those of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lors_det.data.record import DataFolder, Split
from lors_det.data.splits import SplitName
from lors_det.data.words import listed
from lors_det.errors import InputError


def only_tested(folder: DataFolder, split: SplitName) -> DataFolder:
    """The folder with the tested split alone, and what was found of it.

    Where the test split is asked for and there is none it is val, and where there is neither, all images.

    Args:
        folder: as it was read.
        split: "test", or "val" alone.

    Raises:
        InputError: if val is asked for and there is none.
    """
    order: tuple[SplitName, ...] = ("test", "val", "train") if split == "test" else ("val",)
    name = next((each for each in order if each in folder.splits), None)
    if name is None:
        raise InputError(f"--split val: {folder.root} has no val split, it has {', '.join(folder.splits)}")
    others = [f for f in folder.findings if f.kind != "no-box" or f.where == name]
    return replace(folder, splits={name: folder.splits[name]}, findings=tuple(others))


def as_tested(folder: DataFolder, classes: Sequence[str] | None) -> DataFolder:
    """The folder with its one split in the place of each, and with the model's classes.

    Args:
        folder: of :func:`only_tested`.
        classes: the model's, in the order of its labels; the set may have fewer and another order. None: the folder's.

    Raises:
        InputError: if a box is of a class that the model has not, or the model has two of a name.
    """
    (split,) = folder.splits.values()
    wanted = tuple(classes or folder.classes)
    if len(set(wanted)) < len(wanted):
        raise InputError(f"the model has classes of the same name, {listed(wanted)}: the set's cannot be told apart")
    chosen = _of_classes(split, wanted, folder)
    return replace(folder, classes=wanted, splits=dict.fromkeys(("train", "val", "test"), chosen))


def _of_classes(split: Split, classes: tuple[str, ...], folder: DataFolder) -> Split:
    """With these categories, in this order: evaluations pair them with labels by their place."""
    named = {category["id"]: category["name"] for category in split.content["categories"]}
    used = {named[each["category_id"]] for each in split.content["annotations"]}
    unknown = sorted(used - set(classes))
    if unknown:
        raise InputError(
            f"{folder.root} has boxes of {listed(unknown)}, which the model was not trained on; it knows "
            f"{listed(classes)}. Leave them out or rename them, or fine-tune the model: --load-from"
        )
    if tuple(named.values()) == classes:
        return replace(split, name="test")
    ids = {name: number for number, name in enumerate(classes, 1)}
    content: dict[str, Any] = {
        **split.content,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": [
            {**each, "category_id": ids[named[each["category_id"]]]} for each in split.content["annotations"]
        ],
    }
    return replace(split, name="test", content=content, annotation_file=None)
