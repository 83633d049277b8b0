"""Which images of a training split become its val split, where a set has none."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lors_det.data.words import counted
from lors_det.errors import InputError


@dataclass(frozen=True)
class _Group:
    """Images that stay on one side of a split."""

    names: tuple[str, ...]
    classes: frozenset[Any]
    """Category ids of their boxes, crowds aside."""


def chosen_for_val(content: Mapping[str, Any], fraction: float) -> set[str]:
    """File names of the images of a COCO record that are to validate.

    Names are put in the order of a hash of theirs, and the first ``round(fraction * images)`` are taken, one at least
    and never all: the same each time, on every machine. Added images move the end of what is taken by a few places, so
    that nearly all others keep their side, the surer the more images there are. Augmented copies of one picture, as
    exports name them (``x_jpg.rf.4f0a.jpg``), are taken together, which may miss the number by some.

    An image is passed over that is the last of a class in train. If what was taken has no box, an image with boxes
    takes the place of its last, one that leaves train its classes if there is one. Train keeps boxes wherever it had
    them.

    Raises:
        InputError: if there are fewer than two names, or ``fraction`` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the share of val is {fraction:g}, it must be above 0 and below 1")
    names = {image["file_name"]: image["id"] for image in content["images"]}
    if len(names) < 2:
        raise InputError(f"{counted(len(names), 'image')} cannot be split into train and val; at least 2 are needed")
    groups = _groups(names, content["annotations"])
    in_train = Counter(label for group in groups for label in group.classes)
    target = min(max(1, round(fraction * len(names))), len(names) - 1)
    taken: list[_Group] = []
    count = 0
    for group in groups:
        if count >= target or len(taken) == len(groups) - 1:
            break
        if _is_last(group, in_train) or abs(count + len(group.names) - target) > target - count:
            continue
        taken.append(group)
        count += len(group.names)
        in_train.subtract(group.classes)
    if not any(group.classes for group in taken):
        taken = _with_boxes(taken, groups, in_train)
    return {name for group in taken for name in group.names}


def _with_boxes(taken: list[_Group], groups: list[_Group], in_train: Mapping[Any, int]) -> list[_Group]:
    """``taken``, which has no box, its last replaced by a group with boxes, where more than one has any."""
    boxed = [group for group in groups if group.classes]
    if len(boxed) < 2:  # train needs it
        return taken or [min(groups, key=lambda group: (bool(group.classes), len(group.names)))]
    best = min(boxed, key=lambda group: (_is_last(group, in_train), len(group.names)))
    return [*taken[:-1], best]


def _is_last(group: _Group, in_train: Mapping[Any, int]) -> bool:
    """Whether a class would have no image left in train without the group."""
    return any(in_train[label] == 1 for label in group.classes)


def _groups(names: Mapping[str, Any], annotations: Iterable[Mapping[str, Any]]) -> list[_Group]:
    """Images by the picture they were made of, in the order of the hash; each its own if all are of one picture."""
    labels: dict[Any, set[Any]] = {}
    for annotation in annotations:
        if not annotation.get("iscrowd"):
            labels.setdefault(annotation["image_id"], set()).add(annotation["category_id"])
    by_origin: dict[str, list[str]] = {}
    for name in sorted(names):
        by_origin.setdefault(_origin(name), []).append(name)
    if len(by_origin) == 1:
        by_origin = {name: [name] for name in names}
    return [
        _Group(tuple(group), frozenset(label for name in group for label in labels.get(names[name], ())))
        for _, group in sorted(by_origin.items(), key=lambda item: (_place(item[0]), item[0]))
    ]


def _origin(file_name: str) -> str:
    return re.sub(r"\.rf\.[0-9A-Za-z]+(?=\.[^.]*$)", "", file_name)


def _place(name: str) -> bytes:
    """What the order depends on: the name alone."""
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
