"""A folder as a test takes it: one split, its categories those of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lors_det.data.record import DataFolder, Split
from lors_det.data.splits import SplitName
from lors_det.errors import InputError


def as_tested(folder: DataFolder, split: SplitName, classes: Sequence[str] | None) -> DataFolder:
    """The folder with the tested split in the place of each.

    Where the test split is asked for and there is none it is val, and where there is neither, all images.

    Args:
        folder: as it was read, without a val split made of train.
        split: "test", or "val" alone.
        classes: the model's, in the order of its labels; its set may have fewer and another order. None: the folder's.

    Raises:
        InputError: if val is asked for and there is none, or the folder has a class that the model has not.
    """
    order: tuple[SplitName, ...] = ("test", "val", "train") if split == "test" else ("val",)
    name = next((each for each in order if each in folder.splits), None)
    if name is None:
        raise InputError(f"--split val: {folder.root} has no val split, it has {', '.join(folder.splits)}")
    chosen = _of_classes(folder.splits[name], tuple(classes or folder.classes), folder)
    return replace(
        folder, classes=tuple(classes or folder.classes), splits=dict.fromkeys(("train", "val", "test"), chosen)
    )


def _of_classes(split: Split, classes: tuple[str, ...], folder: DataFolder) -> Split:
    """With these categories, in this order: evaluations pair them with labels by their place."""
    named = {category["id"]: category["name"] for category in split.content["categories"]}
    unknown = sorted(set(named.values()) - set(classes))
    if unknown:
        raise InputError(
            f"{folder.root} has the classes {', '.join(unknown)}, which the model was not trained on; it knows "
            f"{', '.join(classes)}. Leave them out or rename them, or fine-tune the model: --load-from"
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
