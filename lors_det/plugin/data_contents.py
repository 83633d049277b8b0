"""What a run's sets hold, in words short enough for a checkpoint: so a run that goes on is told of other data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.runner import BaseLoop, Runner

from lors_det.data.words import counted
from lors_det.plugin.unwrapped import datasets_in

_BYTES = 4


def contents_of(entries: Sequence[Mapping[str, Any]]) -> str:
    """The numbers of a set's images and boxes, and a digest of sizes, boxes and labels that tells sets apart.

    Names, folders and order are no part of it: a set that was moved or renamed is the same.

    Args:
        entries: of a dataset of mmdet, before it is filtered.
    """
    total = 0  # of a digest of each image, so that their order does not matter
    boxes = 0
    for entry in entries:
        instances = entry.get("instances", ())
        boxes += len(instances)
        content = entry.get("width"), entry.get("height"), [(each["bbox"], each["bbox_label"]) for each in instances]
        total += int.from_bytes(hashlib.sha256(repr(content).encode()).digest()[:_BYTES], "big")
    digest = f"{total % 256**_BYTES:0{2 * _BYTES}x}"
    return f"{counted(len(entries), 'image')}, {counted(boxes, 'box')}, digest {digest}"


def data_contents(runner: Runner) -> dict[str, str]:
    """Of a training's sets, ``train`` and ``val``; of one of a class that does not tell, nothing."""
    loaders = {"train": runner.train_loop.dataloader}
    if isinstance(runner.val_loop, BaseLoop):
        loaders["val"] = runner.val_loop.dataloader
    found = {}
    for split, loader in loaders.items():
        contents = [getattr(each, "contents", None) for each in datasets_in(getattr(loader, "dataset", None))]
        if all(contents):
            found[split] = "; ".join(map(str, contents))
    return found
