"""A tiny data set, and the shapes configs shrunk to it."""

from __future__ import annotations

import uuid
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from lors_det.data.shapes import generate_shapes
from lors_det.plugin.config.reading import load_config

CONFIGS = Path(__file__).parent.parent.parent / "configs"
LORS = next(CONFIGS.glob("shapes/lors-adamixer_*.py"))
ADAMIXER = next(CONFIGS.glob("shapes/adamixer_*.py"))
NARROW = {
    "model.backbone.base_channels": 8,
    "model.backbone.stem_channels": 8,
    "model.neck.in_channels": [8, 16, 32, 64],
    "model.neck.out_channels": 48,
    "model.bbox_head.decoder.dim": 48,
    "model.bbox_head.decoder.ffn_dim": 96,
}
"""The widths of a model whose steps take tests the least time; the structure is that of the shapes configs."""


def make_data(folder: Path) -> Path:
    """16 training and 8 validation images of 64 pixels; returns the folder."""
    generate_shapes(folder, num_train=16, num_val=8, image_size=64)
    return folder


def overrides(data: Path) -> dict[str, object]:
    """Values that let a shapes config train on the tiny set in seconds."""
    options: dict[str, object] = {
        "train_cfg.max_epochs": 3,
        "train_cfg.val_interval": 1,
        "default_hooks.logger.interval": 1,
        "model.bbox_head.num_queries": 8,
        **NARROW,
        "train_dataloader.batch_size": 8,
        "val_evaluator.ann_file": str(data / "annotations/val.json"),
        "test_evaluator.ann_file": str(data / "annotations/val.json"),
    }
    for split in ("train", "val", "test"):
        options[f"{split}_dataloader.dataset.data_root"] = f"{data}/"
        options[f"{split}_dataloader.num_workers"] = 0
        options[f"{split}_dataloader.persistent_workers"] = False
    return options


def tiny_config(data: Path, work_dir: Path, config: Path = LORS, **changes: object) -> Config:
    """A shapes config on the tiny set."""
    return load_config(config, {**overrides(data), **changes}, str(work_dir))


def runner_of(cfg: Config) -> Runner:
    """Its runner, under a name of its own: mmengine keeps runners by name."""
    cfg.experiment_name = f"test_{uuid.uuid4().hex}"
    return Runner.from_cfg(cfg)


def write_config(path: Path, data: Path, config: Path = LORS, **changes: object) -> Path:
    """The same as a file for the tools: a child of the shapes config."""
    values = {name: value for name, value in overrides(data).items() if name.split(".")[0] not in changes}
    cfg = Config(dict())
    cfg.merge_from_dict({**values, **changes})
    path.write_text(f'_base_ = ["{config}"]\n{cfg.pretty_text}')
    return path
