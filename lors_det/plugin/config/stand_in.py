"""Configs whose data is not there, for what reads no image: a number of classes and an image side stand in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lors_det.plugin.config.chosen import loaders_of, open_sizes
from lors_det.plugin.config.data import annotation_files
from lors_det.plugin.config.reading import load_config, read_config

CLASSES = 80
"""COCO's number, for which published figures are."""
SIDE_PX = 512


def load_without_data(
    path: str | Path, cfg_options: dict[str, Any] | None = None, *, say: Callable[[str], object]
) -> Config:
    """:func:`lors_det.plugin.config.load_config`, for counting a model and checking a config.

    Where no annotation file exists, a model without a number of classes gets :data:`CLASSES`, and sizes that pipelines
    leave to the data become :data:`SIDE_PX`; batch size and length of the run stay None.

    Args:
        path: a file, or the name of a packaged one.
        cfg_options: values by key with dots.
        say: is told the number of classes that stands in, in a line.

    Raises:
        InputError: as ``load_config``.
    """
    options = dict(cfg_options or {})
    written = read_config(path, options)
    open_number = written.model.get("bbox_head", {}).get("num_classes", CLASSES) is None
    missing = open_number and not any(file.is_file() for file in annotation_files(written))
    if missing:
        options["model.bbox_head.num_classes"] = CLASSES
    cfg = load_config(path, options)
    for transform, key in open_sizes([loader.dataset for loader in loaders_of(cfg)], cfg.get("custom_hooks")):
        transform[key] = (SIDE_PX, SIDE_PX)
    if missing:
        say(f"no data: counted for {CLASSES} classes")
    return cfg
