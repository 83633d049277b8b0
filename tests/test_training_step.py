"""One training step of each family and each backbone, through the config's own preprocessor and optimiser."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData
from references.small import randomise

from lors_det.plugin.config.reading import load_config

CONFIGS = Path(__file__).parent.parent / "configs"
FAMILIES = [  # each backbone once, each full-size decoder at least once
    "lors_adamixer/lors-adamixer_r50_100-query_1x_coco",
    "lors_adamixer/lors-adamixer_swin-s_300-query_crop-ms-480-800-3x_coco",
    "lors_adamixer/lors-adamixer_r101_300-query_crop-ms-480-800-3x_coco",
    "adamixer/adamixer_x101-32x4d-dcn_300-query_crop-ms-480-800-3x_coco",
    "bccd/lors-adamixer_r18-half_50-query_60e_bccd",
    "shapes/adamixer_r18-half_16-query_5e_shapes",
    *(f"finetune/lors-adamixer_{name}_100-query_finetune_own" for name in ("mobilenetv2", "convnext-tiny", "dinov2-s")),
    *sorted(f"ablations/shapes/{path.stem}" for path in CONFIGS.glob("ablations/shapes/*.py")),
]
WITHOUT_EFFECT = "bbox_head.decoder.stack.stages.0.attention.tau"
"""Where every query starts at the whole image, the overlap bias of stage 0 is the same for all keys, and softmax drops
it: the gradient is nothing but rounding. The published models have this parameter."""


def batch(num_classes: int) -> dict[str, list]:
    """Two images of different sizes with two objects each, as a data loader gives them."""
    inputs, samples = [], []
    for height, width in ((64, 96), (80, 64)):
        boxes = torch.tensor([[5.0, 8.0, 40.0, 30.0], [20.0, 20.0, 60.0, 60.0]])
        sample = DetDataSample(metainfo=dict(img_shape=(height, width), scale_factor=(1.0, 1.0)))
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.randint(num_classes, (2,)))
        inputs.append(torch.randint(256, (3, height, width), dtype=torch.uint8))
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}


def small_enough(cfg: Config) -> Config:
    """Few queries, nothing downloaded, and no layer skipped by chance: a skipped one has no gradient."""
    cfg.model.backbone.init_cfg = None
    if "drop_path_rate" in cfg.model.backbone:
        cfg.model.backbone.drop_path_rate = 0.0
    cfg.model.bbox_head.num_queries = 16
    return cfg


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_changes_every_trainable_parameter(name, monkeypatch, tmp_path):
    """From a point off the start, where weights that are zero hide those before them from the gradient.

    By a gradient: weight decay alone would move it too.
    """
    monkeypatch.chdir(tmp_path)
    cfg = small_enough(load_config(CONFIGS / f"{name}.py", {"model.bbox_head.num_classes": 7}))
    model = MODELS.build(cfg.model).train()
    randomise(model.bbox_head, std=0.02)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    felt = set()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda p, name=name: felt.add(name) if p.grad.any() else None)
    losses = model.train_step(batch(7), build_optim_wrapper(model, cfg.optim_wrapper))
    assert torch.isfinite(losses["loss"])
    for name, parameter in model.named_parameters():
        if name != WITHOUT_EFFECT or cfg.model.bbox_head.get("query_start") == "grid":
            assert torch.equal(parameter, before[name]) != parameter.requires_grad, name
            assert (name in felt) == parameter.requires_grad, name
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert all(name.startswith("backbone.") for name in frozen)
    assert bool(frozen) == (cfg.model.backbone.get("frozen_stages", -1) >= 0)
