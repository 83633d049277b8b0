"""A small detector around any backbone, and a batch for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData

from lors_det.plugin.config.reading import load_config

SHAPES = Path(__file__).parent.parent.parent / "configs/shapes/lors-adamixer_r18-half_16-query_5e_shapes.py"


def detector_config(backbone: dict[str, Any], in_channels: list[int]) -> Config:
    """The detector of the shapes with another backbone."""
    cfg = load_config(SHAPES, {"model.bbox_head.num_classes": 6})
    cfg.model.backbone = ConfigDict(backbone)
    cfg.model.neck.in_channels = in_channels
    return cfg


def two_images() -> dict[str, list[Any]]:
    """Of different sizes with two objects each, as a data loader gives them."""
    inputs, samples = [], []
    for height, width in ((64, 96), (80, 64)):
        boxes = torch.tensor([[5.0, 8.0, 40.0, 30.0], [20.0, 20.0, 60.0, 60.0]])
        sample = DetDataSample(metainfo=dict(img_shape=(height, width), scale_factor=(1.0, 1.0)))
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2]))
        inputs.append(torch.randint(256, (3, height, width), dtype=torch.uint8))
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}
