"""Values of another kind than what reads them takes are refused by their key."""

from __future__ import annotations

import pytest
from references.tiny import LORS

from lors_det.errors import InputError
from lors_det.plugin.config.reading import read_config


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"visualizer.vis_backends": ["dict(type='LocalVisBackend')"]},
            r"vis_backends\.0 is .*a dictionary with a type",
        ),
        ({"visualizer.vis_backends": "LocalVisBackend"}, "vis_backends is 'LocalVisBackend'; it must be a list"),
        ({"visualizer": "DetLocalVisualizer"}, "visualizer is 'DetLocalVisualizer'; it must be a dictionary"),
    ],
)
def test_trackers_are_dictionaries(options, words):
    with pytest.raises(InputError, match=words):
        read_config(LORS, options)
    assert read_config(LORS, {"visualizer.vis_backends": None}).visualizer.vis_backends is None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("default_hooks.logger", 5, "it must be a dictionary, or None for no hook"),
        ("optim_wrapper.paramwise_cfg", "x", "it must be a dictionary"),
        ("optim_wrapper.paramwise_cfg.custom_keys", True, "it must be a dictionary"),
        ("optim_wrapper.paramwise_cfg.custom_keys.backbone", 0.1, "it must be a dictionary, such as dict(lr_mult=0.1)"),
        ("optim_wrapper.paramwise_cfg.sharing", "1/users", "it must be a dictionary"),
        ("optim_wrapper.clip_grad", 0.1, "it must be a dictionary"),
        ("optim_wrapper.constructor", [], "it must be a text"),
        ("log_processor", 5, "it must be a dictionary"),
        ("val_evaluator", "x", "it must be a dictionary, or a list of them"),
        ("val_evaluator.ann_file", 5, "it must be a text"),
        ("train_dataloader.dataset.ann_file", 5, "it must be a text"),
        ("train_dataloader.dataset.data_root", True, "it must be a text"),
    ],
)
def test_values_of_another_kind_are_named(key, value, words):
    with pytest.raises(InputError) as caught:
        read_config(LORS, {key: value})
    assert key.rpartition(".")[2] in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("multiplier", "value"),
    [("sharing", {"base_lr": "1/users"}), ("layer_decay", 0.9), ("custom_keys.backbone.lr_mult", 0.1)],
)
def test_multipliers_that_a_schedule_passes_over_are_refused(tmp_path, multiplier, value):
    cycle = tmp_path / "cycle.py"
    cycle.write_text(
        f'_base_ = ["{LORS}"]\n'
        'param_scheduler = [dict(type="OneCycleLR", eta_max=1e-3, total_steps=9, by_epoch=False)]\n'
        'optim_wrapper = dict(_delete_=True, optimizer=dict(type="AdamW", lr=1e-3))\n'
    )
    options = {
        "optim_wrapper.constructor": "MergedOptimWrapperConstructor",
        f"optim_wrapper.paramwise_cfg.{multiplier}": value,
    }
    with pytest.raises(InputError, match=f"is a OneCycleLR, .*paramwise_cfg.{multiplier}.* no effect"):
        read_config(cycle, options)
    read_config(cycle, {})
    one = {"sharing": {"base_lr": 1.0}}.get(multiplier, 1.0)
    read_config(cycle, {**options, f"optim_wrapper.paramwise_cfg.{multiplier}": one})
