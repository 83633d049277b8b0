"""A config's data replaced by a folder of the user's own: annotations, images, evaluators and classes follow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from lors_det.data.record import DataFolder, Split
from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.plugin.config.data import evaluators_of, leaf_datasets

_OF_A_SET = {
    "CocoMetric",
    "CocoOccludedSeparatedMetric",
    "CrowdHumanMetric",
    "LVISFixedAPMetric",
    "LVISMetric",
    "OVCocoMetric",
    "OpenImagesMetric",
    "VOCMetric",
}
"""Evaluators that score against annotations in the form of one public set."""


_OF_THE_FOLDER = {"ann_file", "data_root", "data_prefix", "metainfo"}
"""Values of sets and evaluators."""


def use_folder(cfg: Config, folder: DataFolder, annotations: Path) -> None:
    """Let a config train, validate and test on a folder's splits.

    A split that no COCO file of the folder describes is written into ``annotations``; images stay where they lie.
    Without a test split the validation split is tested. Images without boxes are trained on, as negatives. Evaluators
    that score against annotations of their own give way to COCO's AP; others, those that write predictions say, stay.

    Args:
        cfg: changed in place; it keeps its pipelines, samplers and batch sizes.
        folder: what :func:`lors_det.data.folder.read_folder` found; it has a train and a val split.
        annotations: where annotation files go; made where it is missing.

    Raises:
        InputError: if the config has no data of one kind to be replaced.
    """
    splits = {**folder.splits, "test": folder.splits.get("test", folder.splits["val"])}
    files = {split.name: _annotation_file(split, annotations) for split in splits.values()}
    for name, split in splits.items():
        loader = cfg.get(f"{name}_dataloader")
        if not loader:
            raise InputError(f"config {cfg.filename} has no {name}_dataloader that --data could fill")
        datasets = list(leaf_datasets(loader.dataset))
        if len(datasets) != 1:
            raise InputError(
                f"config key {name}_dataloader.dataset joins {len(datasets)} sets; --data replaces a single one"
            )
        datasets[0].update(
            type="CocoDetection",
            data_root="",
            ann_file=str(files[split.name]),
            data_prefix=ConfigDict(img=f"{split.image_root.absolute()}/"),
        )
        datasets[0].pop("metainfo", None)
        if name == "train":
            datasets[0].filter_cfg = ConfigDict(filter_empty_gt=False)
        else:
            others = [each for each in evaluators_of(cfg, name) if each.type not in _OF_A_SET]
            metric = ConfigDict(type="CocoMetric", ann_file=str(files[split.name]), metric="bbox", classwise=True)
            cfg[f"{name}_evaluator"] = [metric, *others] if others else metric
    head = cfg.model.get("bbox_head", {})
    if "num_classes" in head:
        head.num_classes = None  # the annotation files say it


def set_again(cfg: Config, options: Mapping[str, Any]) -> None:
    """Values of the command line, after :func:`use_folder`, for evaluators and what a set leaves out.

    Raises:
        InputError: if one says what the folder says, or does not fit.
    """
    again = {}
    for key, value in options.items():
        first, *rest = key.split(".")
        of_data = first.endswith(("_dataloader", "_evaluator")) and _OF_THE_FOLDER.intersection(rest)
        of_reader = first.endswith("_dataloader") and rest[-2:] == ["dataset", "type"]
        if of_data or of_reader or (key == "model.bbox_head.num_classes" and value is not None):
            raise InputError(f"--cfg-options {key}: the folder of --data says it; leave one of the two out")
        if first.endswith("_evaluator") or (first.endswith("_dataloader") and "filter_cfg" in rest):
            again[key] = value
    try:
        cfg.merge_from_dict(again)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"--cfg-options {', '.join(again)} do not fit what --data makes of the evaluators: {error}"
        ) from error


def _annotation_file(split: Split, folder: Path) -> Path:
    """A COCO file with the split's content: the user's own, or one that is written now; others are left as they are.

    An earlier run of the same folder may have trained on another content.
    """
    if split.annotation_file is not None:
        return split.annotation_file.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(split.content).encode()
    for number in count(1):
        path = folder.absolute() / (f"{split.name}.json" if number == 1 else f"{split.name}_{number}.json")
        if not path.exists():
            write_whole(path, lambda file: file.write(content))
            return path
        if path.is_file() and path.read_bytes() == content:
            return path
    raise AssertionError("unreachable: count has no end")
