"""Parts of a config are held against each other, and what it changes is told."""

from __future__ import annotations

from io import StringIO

import pytest
from mmengine.config import Config
from references.tiny import CONFIGS, LORS, tiny_config
from rich.console import Console

from lors_det.cli.check_config import changes, facts
from lors_det.errors import InputError
from lors_det.plugin.config.reading import load_config, read_config
from lors_det.reports.config_check import check_config, schedule_notes
from lors_det.reports.config_difference import ABSENT, differences

SHORT = {"param_scheduler.0.end": 5}
"""A warm-up that ends within the six steps of the tiny run."""


def test_a_sound_config_has_nothing_to_note(data, tmp_path):
    assert check_config(tiny_config(data, tmp_path, **SHORT)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_cfg.val_begin": 9}, "val_begin is 9, more than the 3 epochs: nothing is validated"),
        ({"train_cfg.val_interval": 9}, "val_interval is 9, more than the 3 epochs: the last alone is validated"),
        ({"param_scheduler.1.end": 2}, "param_scheduler.1.end is 2, and training ends after 3 epochs"),
        ({"param_scheduler.0.end": 7}, "param_scheduler.0.end is 7, and one process trains 6 steps in all"),
        ({"model.bbox_head.num_queries": 1}, "have more boxes than the 1 queries"),
        ({"model.test_cfg": dict(max_per_img=3)}, "max_per_img is 3, fewer than the 8 queries"),
        ({"model.bbox_head.decoder.share": (0, 1, 2, 3)}, "shares nothing, so adaptive_rank, static_rank add"),
        ({"model.bbox_head.decoder.adaptive_rank": 5}, "adaptive_rank=5 in up to 2 groups reaches the full rank"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_looks_wrong_is_told(data, tmp_path, changes, words):
    notes = check_config(tiny_config(data, tmp_path, **{**SHORT, **changes}))
    assert notes
    assert all(words in note for note in notes)


def test_a_hook_that_never_begins_is_told():
    """mmengine's counts epochs from one, mmdet's from nought."""
    hooks = [None, dict(type="EMAHook", begin_epoch=3), dict(type="PipelineSwitchHook", switch_epoch=2)]
    cfg = Config(dict(train_cfg=dict(max_epochs=3), custom_hooks=hooks))
    assert not list(schedule_notes(cfg))
    cfg.train_cfg.max_epochs = 2
    assert list(schedule_notes(cfg)) == [
        "custom_hooks.1.begin_epoch is 3, and training ends after 2 epochs: EMAHook never begins",
        "custom_hooks.2.switch_epoch is 2, and training ends after 2 epochs: PipelineSwitchHook never begins",
    ]


def test_milestones_that_are_never_met_are_told(data, tmp_path):
    cfg = tiny_config(data, tmp_path, **SHORT)
    cfg.param_scheduler[1] = dict(type="MultiStepLR", milestones=[2, 5])
    assert check_config(cfg) == ["param_scheduler.1.milestones [5] are never met in 3 epochs"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.bbox_head.decoder.adaptive_groups": (1, 2)}, "has 2 values for 4 stages"),
        ({"model.bbox_head.decoder.share": (0, 0, 2, 2)}, "share"),
        ({"train_dataloader.batch_size": 17}, "train_dataloader makes no batch: 16 images"),
        ({"train_dataloader.sampler.type": "InfiniteSampler"}, "an InfiniteSampler, with which no epoch ends"),
        ({"val_dataloader": None}, "config keys val_dataloader are not set, and val_cfg, val_evaluator are"),
        ({"log_level": "INF"}, "config key log_level is 'INF'; choose from CRITICAL"),
        (
            {"custom_hooks": [dict(type="EMAHook", momentum=2.0)]},
            "config key hook 0: AssertionError: momentum must be in range (0.0, 1.0)",
        ),
        ({"default_hooks.logger.interval": "x"}, "default_hooks.logger.interval=x: it must be a number"),
        ({"model.neck.out_channels": 64}, "features of 64 channels came to a decoder of dim=48"),
        ({"model.test_cfg": dict(max_per_img=99)}, "8 queries with 6 classes give 48 detections at most"),
        ({"optim_wrapper.optimizer.betas": 5}, "config key optim_wrapper: "),
        ({"optim_wrapper.paramwise_cfg": dict(custom_keys=dict(decodr=dict(lr_mult=2.0)))}, "custom_keys has 'decodr'"),
        ({"param_scheduler.0.begin": 100}, "config key param_scheduler.0: "),
        ({"val_evaluator.metric": "box"}, "config key val_evaluator.metric is 'box'; it must be one of bbox, segm"),
        ({"activation_checkpointing": ["bakbone"]}, "activation_checkpointing names 'bakbone'"),
        ({"efficient_conv_bn_eval": ["bakbone"]}, "efficient_conv_bn_eval names 'bakbone'"),
        ({"train_cfg.when_not_finite": "skp"}, "train_cfg.when_not_finite is 'skp'"),
        (
            {"train_dataloader.dataset.metainfo": dict(classes=("disc", "sqare"))},
            "train_dataloader.dataset: annotation",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_work_is_refused(data, tmp_path, changes, words):
    with pytest.raises(InputError) as caught:
        check_config(tiny_config(data, tmp_path, **changes))
    assert words in str(caught.value)


def test_data_that_is_not_there_is_told_and_the_rest_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(CONFIGS / "lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py")
    notes = check_config(cfg)
    assert len(notes) == 2
    assert "train_dataloader was not built" in notes[0]
    assert "instances_train2017.json" in notes[0]


def test_differences_are_those_of_the_file_and_its_options(tmp_path):
    path = tmp_path / "child.py"
    path.write_text(f'_base_ = "{LORS}"\ntrain_cfg = dict(max_epochs=7)\nload_from = "weights.pth"\n')
    cfg = read_config(path, {"model.backbone.frozen_stages": 1})
    base = read_config(LORS)
    assert sorted(differences(path, cfg)) == [
        ("load_from", None, "weights.pth"),
        ("model.backbone.frozen_stages", -1, 1),
        ("train_cfg.max_epochs", base.train_cfg.max_epochs, 7),
    ]
    path.write_text(f'_base_ = "lors_det::{LORS.relative_to(CONFIGS)}"\ntrain_cfg = dict(max_epochs=7)\n')
    assert differences(path, read_config(path)) == [("train_cfg.max_epochs", base.train_cfg.max_epochs, 7)]
    alone = tmp_path / "alone.py"
    alone.write_text("model = dict(type='SingleStageDetector')\n")
    assert differences(alone, read_config(alone)) == [("model.type", ABSENT, "SingleStageDetector")]


def test_a_visualizer_is_built_whatever_was_built_before(data, tmp_path):
    named = {"visualizer.name": "visualizer"}
    check_config(tiny_config(data, tmp_path, **SHORT, **named))
    with pytest.raises(InputError, match="config key visualizer"):
        check_config(tiny_config(data, tmp_path, **SHORT, **named, **{"visualizer.line_widht": 2}))


def test_what_looks_like_markup_is_printed_as_it_is(data, tmp_path):
    """rich takes "[old]" for a style, and ends at "[/a]"."""
    cfg = tiny_config(data, tmp_path)
    cfg.work_dir = "runs/[old]/[/a]"
    console = Console(width=100, record=True, file=StringIO())
    console.print(facts(cfg), changes(cfg))
    assert "runs/[old]/[/a]" in console.export_text()
