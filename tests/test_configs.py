"""Every leaf config builds, and is what its name says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mmdet.registry import MODELS

from lors_det.lors import summarise
from lors_det.plugin.config import load_config

CONFIGS = Path(__file__).parent.parent / "configs"
LEAVES = sorted(path for path in CONFIGS.glob("*/*.py") if path.parent.name != "_base_")
DEPTHS = {"r18-half": (18, 32), "r50": (50, 64), "r101": (101, 64)}


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: path.stem)
def test_a_leaf_is_what_its_name_says(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where no data is, a model may have any number of classes
    algorithm, backbone, queries, schedule, dataset = path.stem.split("_")
    cfg = load_config(path, {"model.bbox_head.num_classes": 80})
    assert algorithm in ("lors-adamixer", "adamixer")
    assert (cfg.model.backbone.depth, cfg.model.backbone.get("base_channels", 64)) == DEPTHS[backbone]
    assert cfg.train_cfg.max_epochs == int(re.fullmatch(r"(\d+)[ex]", schedule).group(1)) * (
        12 if schedule.endswith("x") else 1
    )
    assert dataset in cfg.train_dataloader.dataset.data_root

    cfg.model.backbone.init_cfg = None  # no download
    head = MODELS.build(cfg.model).bbox_head
    assert f"{len(head.queries.content)}-query" == queries
    assert head.max_per_img == len(head.queries.content)
    entries = head.decoder.ledger()
    assert any(entry.shared for entry in entries) == (algorithm == "lors-adamixer")
    assert len(head.decoder.stages) >= 4
    # the published weights of matching and loss
    criterion = head.criterion
    assert (criterion.class_weight, criterion.l1_weight, criterion.giou_weight) == (2, 5, 2)


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
