"""Sets that are tested: each image once, as it is and mirrored."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS
from references.tiny import tiny_config

from lors_det.errors import InputError
from lors_det.plugin.config.data import augment_test_time, check_evaluators


def wrapped(kind: str, dataset: ConfigDict) -> ConfigDict:
    if kind == "ConcatDataset":
        return ConfigDict(type=kind, datasets=[dataset])
    return ConfigDict(type=kind, dataset=dataset, times=1) if kind else dataset


@pytest.mark.parametrize("kind", ["", "ConcatDataset", "RepeatDataset"])
def test_the_first_view_is_the_image_as_it_is(data, tmp_path, kind):
    """Whose ground truth mmdet keeps; in pictures, that of a mirrored view would lie beside the objects."""
    cfg = tiny_config(data, tmp_path)
    plain = DATASETS.build(cfg.test_dataloader.dataset)[0]
    cfg.test_dataloader.dataset = wrapped(kind, cfg.test_dataloader.dataset)
    augment_test_time(cfg)
    views = DATASETS.build(cfg.test_dataloader.dataset)[0]
    assert [sample.flip for sample in views["data_samples"]] == [False, True]
    own, mirrored = views["inputs"]
    assert torch.equal(own, plain["inputs"])
    assert torch.equal(mirrored, plain["inputs"].flip(-1))
    found, expected = (each.gt_instances.bboxes for each in (views["data_samples"][0], plain["data_samples"]))
    assert torch.equal(found.tensor, expected.tensor)
    assert len(expected)


@pytest.mark.parametrize("kind", ["RepeatDataset", "ClassBalancedDataset"])
@pytest.mark.parametrize("inside", ["", "ConcatDataset"])
def test_images_that_are_given_more_than_once_are_refused(data, tmp_path, kind, inside):
    """Their detections would be doubled, and their objects not."""
    cfg = tiny_config(data, tmp_path)
    check_evaluators(cfg)
    repeated = ConfigDict(type=kind, dataset=cfg.test_dataloader.dataset, times=2)
    cfg.test_dataloader.dataset = wrapped(inside, repeated)
    with pytest.raises(InputError, match=rf"test_dataloader\.dataset is or has a {kind}, which gives images more than"):
        check_evaluators(cfg)


@pytest.mark.parametrize("key", ["sync_bn", "train_cfg.when_not_finite"])
def test_words_that_a_key_does_not_take_are_refused(data, tmp_path, key):
    with pytest.raises(InputError, match=rf'config key {key} is \'torchx\'; it must be "(torch|stop)" or "'):
        tiny_config(data, tmp_path, **{key: "torchx"})
