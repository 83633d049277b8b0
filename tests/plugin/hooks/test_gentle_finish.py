"""The last epochs are trained without strong augmentation."""

from __future__ import annotations

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from references.tiny import make_data, runner_of, tiny_config

from lors_det.errors import InputError


@TRANSFORMS.register_module()
class PaintForTest(BaseTransform):
    """Says by an image's colour which pipeline made it."""

    def __init__(self, value):
        self.value = value

    def transform(self, results):
        results["img"] = np.full_like(results["img"], self.value)
        return results


def pipeline(value):
    load = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True)]
    return [*load, dict(type="PaintForTest", value=value), dict(type="PackDetInputs")]


def colours(tmp_path, max_epochs, hook, workers=0):
    """Mean colour of the images of each epoch."""
    data = make_data(tmp_path / "data")
    options = {
        "train_cfg.max_epochs": max_epochs,
        "train_cfg.val_interval": 100,
        "train_dataloader.dataset.pipeline": pipeline(200),
        "train_dataloader.num_workers": workers,
        "train_dataloader.persistent_workers": workers > 0,
        "custom_hooks": [dict(type="GentleFinishHook", pipeline=pipeline(50), **hook)],
    }
    cfg = tiny_config(data, tmp_path / "run", **options)
    runner = runner_of(cfg)
    seen = {}
    preprocess = runner.model.data_preprocessor.forward

    def watch(batch, training=False):
        for image in batch["inputs"]:
            seen.setdefault(runner.epoch, set()).add(float(image.float().mean()))
        return preprocess(batch, training)

    runner.model.data_preprocessor.forward = watch
    runner.train()
    return [seen[epoch] for epoch in range(max_epochs)]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_share_follows_the_epochs(tmp_path, workers):
    assert colours(tmp_path, 5, dict(last=0.4), workers) == [{200}, {200}, {200}, {50}, {50}]


def test_part_of_an_epoch_counts_as_one(tmp_path):
    assert colours(tmp_path, 3, dict(last=0.1)) == [{200}, {200}, {50}]


def test_a_share_of_whole_epochs_gets_no_more(tmp_path):
    last = 0.1 + 0.2  # of 10 epochs 3.0000000000000004, as 0.28 of 25 is a little above 7
    assert colours(tmp_path, 10, dict(last=last)) == [{200}] * 7 + [{50}] * 3


def test_none_and_all(tmp_path):
    assert colours(tmp_path / "none", 2, dict(last=0)) == [{200}, {200}]
    assert colours(tmp_path / "all", 2, dict(last=1)) == [{50}, {50}]


@pytest.mark.parametrize("last", [-0.1, 1.5])
def test_no_share(tmp_path, last):
    with pytest.raises(InputError, match="share of the epochs"):
        colours(tmp_path, 2, dict(last=last))


def test_a_wrapped_set(tmp_path):
    hook = dict(type="GentleFinishHook", pipeline=pipeline(50))
    cfg = tiny_config(make_data(tmp_path / "data"), tmp_path / "run", custom_hooks=[hook])
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=1, dataset=cfg.train_dataloader.dataset)
    with pytest.raises(InputError, match="RepeatDataset"):
        runner_of(cfg).train()
