"""Every leaf config builds, and is what its name says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS

from lors_det.adamixer import Decoder
from lors_det.lors import summarise
from lors_det.plugin.config import load_config

CONFIGS = Path(__file__).parent.parent / "configs"
LEAVES = sorted(path for path in CONFIGS.glob("*/*.py") if path.parent.name != "_base_")
BACKBONES = {
    "r18-half": dict(type="ResNet", depth=18, base_channels=32),
    "r50": dict(type="ResNet", depth=50),
    "r101": dict(type="ResNet", depth=101),
    "swin-s": dict(type="SwinTransformer", embed_dims=96, depths=[2, 2, 18, 2], drop_path_rate=0.2),
}
ALGORITHMS = {  # whether stages share, G and P of the full-size models
    "lors-adamixer": (True, 2, 64),
    "adamixer": (False, 4, 32),
    "adamixer-g2-p64": (False, 2, 64),
}
MILESTONES = {"1x": [8, 11], "crop-ms-480-800-3x": [24, 33], "ms-480-800-3x": [27, 33]}


def epochs(schedule: str) -> int:
    """Of "1x", "crop-ms-480-800-3x" or "5e"."""
    number, unit = re.search(r"(\d+)([ex])$", schedule).groups()
    return int(number) * (12 if unit == "x" else 1)


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_a_leaf_is_what_its_name_says(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where no data is, a model may have any number of classes
    algorithm, backbone, queries, schedule, dataset = path.stem.split("_")
    cfg = load_config(path, {"model.bbox_head.num_classes": 80})
    assert {name: cfg.model.backbone[name] for name in BACKBONES[backbone]} == BACKBONES[backbone]
    assert cfg.train_cfg.max_epochs == epochs(schedule)
    assert dataset in cfg.train_dataloader.dataset.data_root
    pipeline = str(cfg.train_dataloader.dataset.pipeline)
    assert ("RandomCrop" in pipeline) == ("crop" in schedule)
    assert ("RandomChoiceResize" in pipeline) == ("ms-480-800" in schedule)
    shares, num_groups, num_points = ALGORITHMS[algorithm]
    if dataset == "coco":
        warm_up, decay = cfg.param_scheduler
        assert decay.milestones == MILESTONES[schedule]
        assert decay.end == epochs(schedule)
        assert warm_up.end == (1000 if backbone == "swin-s" else 500)
        assert (cfg.model.bbox_head.decoder.num_groups, cfg.model.bbox_head.decoder.num_points) == (
            num_groups,
            num_points,
        )

    cfg.model.backbone.init_cfg = None  # no download
    model = MODELS.build(cfg.model)
    head = model.bbox_head
    assert f"{len(head.queries.content)}-query" == queries
    assert head.max_per_img == len(head.queries.content)
    assert any(entry.shared for entry in head.decoder.ledger()) == shares
    assert len(head.decoder.stages) >= 4
    # the published weights of matching and loss
    criterion = head.criterion
    assert (criterion.class_weight, criterion.l1_weight, criterion.giou_weight) == (2, 5, 2)
    # the levels fit the neck, and the neck the decoder
    with torch.no_grad():
        assert len(model.eval()(torch.zeros(1, 3, 64, 64))[-1].logits[0]) == len(head.queries.content)


@pytest.mark.parametrize(
    ("name", "decoder", "model", "parts"),
    [
        (
            "lors_adamixer/lors-adamixer_r50_100-query_1x_coco",
            35_348_264,
            59_866_472,
            (21_020_672, 4_919_808, 9_407_784),
        ),
        ("adamixer/adamixer_r50_100-query_1x_coco", 110_272_296, 134_790_504, (0, 100_864_512, 9_407_784)),
    ],
)
def test_published_parameter_totals(name, decoder, model, parts):
    cfg = load_config(CONFIGS / f"{name}.py")
    cfg.model.backbone.init_cfg = None
    built = MODELS.build(cfg.model)
    summary = summarise(built.bbox_head.decoder.ledger())
    assert summary["total"] == sum(parameter.numel() for parameter in built.bbox_head.decoder.parameters()) == decoder
    assert (summary["shared"], summary["private_mixing"], summary["per_stage"]) == parts
    # published totals count 400 more: a table of 100 x 4 positions that the published code never reads
    assert sum(parameter.numel() for parameter in built.parameters()) == model
    assert model + 400 in (59_866_872, 134_790_904)


def test_adamixer_in_the_shape_of_lors():
    decoder = load_config(CONFIGS / "adamixer/adamixer-g2-p64_r50_100-query_1x_coco.py").model.bbox_head.decoder
    assert sum(parameter.numel() for parameter in Decoder(80, **decoder).parameters()) == 135_536_424


def test_swin_has_no_decay_on_tables_and_norms():
    for path in (leaf for leaf in LEAVES if "swin-s" in leaf.stem):
        keys = load_config(path).optim_wrapper.paramwise_cfg.custom_keys
        assert set(keys) == {"absolute_pos_embed", "relative_position_bias_table", "norm"}
        assert all(value == dict(decay_mult=0.0) for value in keys.values())


def test_residuals_grow_with_depth(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for path in CONFIGS.glob("*/lors-adamixer_*.py"):
        groups = load_config(path, {"model.bbox_head.num_classes": 3}).model.bbox_head.decoder.adaptive_groups
        assert list(groups) == sorted(groups)
        assert groups[0] < groups[-1]


def test_the_1x_recipe():
    cfg = load_config(CONFIGS / "lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py")
    assert (cfg.optim_wrapper.optimizer.type, cfg.optim_wrapper.optimizer.lr) == ("AdamW", 2.5e-5)
    assert cfg.optim_wrapper.optimizer.weight_decay == 1e-4
    assert cfg.optim_wrapper.clip_grad.max_norm == 1.0
    warm_up, decay = cfg.param_scheduler
    assert (warm_up.start_factor, warm_up.end, warm_up.by_epoch) == (0.001, 500, False)
    assert (decay.milestones, decay.gamma) == ([8, 11], 0.1)
    assert (cfg.model.backbone.frozen_stages, cfg.model.backbone.norm_eval) == (1, True)
    assert cfg.model.data_preprocessor.pad_size_divisor == 32
    assert cfg.model.data_preprocessor.bgr_to_rgb
