"""Configs as the tools use them: the classes filled in, the machine respected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

from lors_det.errors import InputError
from lors_det.plugin.dataset import check_coco, read_json


def load_config(path: str | Path, cfg_options: dict[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Read a config for a Runner.

    ``cfg_options`` override values; ``work_dir`` defaults to ``work_dirs/<name of the config>``. A model whose
    ``num_classes`` is None gets the classes of the annotation file, and so do all its datasets. Without a GPU,
    processes communicate by gloo.

    Raises:
        InputError: if the file does not exist, is not a config, or its annotation file cannot be read.
    """
    if not Path(path).is_file():
        raise InputError(f"config {path} does not exist")
    cfg = Config.fromfile(path)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = f"work_dirs/{Path(path).stem}"
    if not torch.cuda.is_available():
        cfg.env_cfg.dist_cfg = dict(backend="gloo")
    init_default_scope(cfg.get("default_scope", "mmdet"))  # names in the config are mmdet's from here on
    fill_classes(cfg)
    return cfg


def fill_classes(cfg: Config) -> None:
    """Take the classes from the annotation file where the model names no number of classes."""
    head = cfg.model.get("bbox_head", {})
    if "num_classes" not in head or head.num_classes is not None:
        return
    datasets = list(_datasets(cfg))
    named = next((dataset.metainfo.classes for dataset in datasets if dataset.get("metainfo", {}).get("classes")), None)
    if named is None:
        path = next((path for path in map(_annotation_file, datasets) if path.is_file()), None)
        if path is None:
            paths = ", ".join(dict.fromkeys(str(_annotation_file(dataset)) for dataset in datasets))
            raise InputError(
                f"no annotation file exists to read the classes from: {paths}; check data_root and ann_file"
            )
        named = check_coco(read_json(path), path)
    head.num_classes = len(named)
    for dataset in datasets:
        dataset.metainfo = dict(dataset.get("metainfo", {}), classes=tuple(named))


def _datasets(cfg: Config) -> Iterator[ConfigDict]:
    """The datasets of the train, val and test dataloaders."""
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(name):
            yield from _unwrapped(cfg[name].dataset)


def _unwrapped(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The datasets inside wrappers such as RepeatDataset and ConcatDataset."""
    inner = dataset.get("datasets") or ([dataset.dataset] if "dataset" in dataset else [])
    for each in inner:
        yield from _unwrapped(each)
    if not inner:
        yield dataset


def _annotation_file(dataset: ConfigDict) -> Path:
    return Path(dataset.get("data_root") or "", dataset.ann_file)


def build_test_set(cfg: Config) -> BaseDataset:
    """The dataset that the config evaluates."""
    return DATASETS.build(cfg.test_dataloader.dataset)


def augment_test_time(cfg: Config) -> None:
    """Make a config test each image and its mirror image, merged by NMS (mmdet's DetTTAModel).

    The config's own ``tta_model`` and ``tta_pipeline`` are taken where it has them.
    """
    max_per_img = (cfg.model.get("test_cfg") or {}).get("max_per_img") or cfg.model.bbox_head.num_queries
    tta_cfg = dict(nms=dict(type="nms", iou_threshold=0.6), max_per_img=max_per_img)
    tta_model = cfg.get("tta_model") or dict(type="DetTTAModel", tta_cfg=tta_cfg)
    dataset = cfg.test_dataloader.dataset
    pack = dict(dataset.pipeline[-1])
    pack["meta_keys"] = (*pack.get("meta_keys", PackDetInputs().meta_keys), "flip", "flip_direction")
    flips = [dict(type="RandomFlip", prob=1.0), dict(type="RandomFlip", prob=0.0)]
    dataset.pipeline = cfg.get("tta_pipeline") or [
        *dataset.pipeline[:-1],
        dict(type="TestTimeAug", transforms=[flips, [pack]]),
    ]
    cfg.model = ConfigDict(**tta_model, module=cfg.model)
