"""Sets that are tested: each image once, as it is and mirrored."""

from __future__ import annotations

import re

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS
from references.tiny import tiny_config

from lors_det.errors import InputError
from lors_det.plugin.config.data import augment_test_time, check_evaluators, fill_classes


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


def test_an_evaluator_inside_another_is_of_the_same_file(data, tmp_path):
    cfg = tiny_config(data, tmp_path)
    inner = [ConfigDict(type="CocoMetric", ann_file="other.json")]
    cfg.val_evaluator = ConfigDict(type="MultiDatasetsEvaluator", dataset_prefixes=["a"], metrics=inner)
    with pytest.raises(InputError, match=r"val_evaluator\.ann_file is other\.json, but val_dataloader evaluates"):
        check_evaluators(cfg)


@pytest.mark.parametrize(
    ("kind", "changes", "classes"),
    [
        ("VOCDataset", dict(ann_file="ImageSets/Main/train.txt"), ("aeroplane", "bicycle")),
        ("LVISV1Dataset", {}, ("aerosol_can", "air_conditioner")),
        ("CocoDetection", dict(metainfo=dict(classes="names.txt")), ("disc", "square")),
    ],
)
def test_classes_that_no_file_of_coco_names(data, tmp_path, monkeypatch, kind, changes, classes):
    """Sets of mmdet that are of another form have them themselves; a list may be in a file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("disc\nsquare\n")
    cfg = tiny_config(data, tmp_path)
    cfg.model.bbox_head.num_classes = None
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[name].dataset = ConfigDict({**cfg[name].dataset, "metainfo": {}, "type": kind, **changes})
    fill_classes(cfg)
    found = cfg.train_dataloader.dataset.metainfo.classes
    assert tuple(found[:2]) == classes
    assert cfg.model.bbox_head.num_classes == len(found)
    cfg.val_dataloader.dataset.metainfo = dict(classes="gone.txt")
    cfg.train_dataloader.dataset.metainfo = {}
    if kind == "CocoDetection":
        with pytest.raises(InputError, match=r"metainfo\.classes is 'gone\.txt', and there is no such file"):
            fill_classes(cfg)


@pytest.mark.parametrize("key", ["sync_bn", "train_cfg.when_not_finite", "env_cfg.mp_cfg.mp_start_method"])
def test_words_that_a_key_does_not_take_are_refused(data, tmp_path, key):
    with pytest.raises(InputError, match=rf'config key {key} is \'torchx\'; it must be "(torch|stop|fork)" or "'):
        tiny_config(data, tmp_path, **{key: "torchx"})


@pytest.mark.parametrize("metric", ["mAP", ["bbox", "mAP"], ("bbox",), ["bbox", None], None])
def test_a_metric_that_there_is_not_is_refused_by_name(data, tmp_path, metric):
    """mmdet ends at the first validation, with a KeyError."""
    cfg = tiny_config(data, tmp_path)
    check_evaluators(cfg)
    cfg.val_evaluator.metric = metric
    words = rf"val_evaluator\.metric is {re.escape(repr(metric))}; it must be one of bbox, segm, .* or a list of them"
    with pytest.raises(InputError, match=words):
        check_evaluators(cfg)


def test_voc_has_one_metric(data, tmp_path):
    cfg = tiny_config(data, tmp_path)
    cfg.val_evaluator = ConfigDict(type="VOCMetric", metric="recall")
    check_evaluators(cfg)
    cfg.val_evaluator.metric = ["mAP", "recall"]
    with pytest.raises(InputError, match=r"it must be one of mAP, recall$"):
        check_evaluators(cfg)


@pytest.mark.parametrize("key", ["randomness.deterministic", "randomness.diff_rank_seed", "find_unused_parameters"])
def test_text_is_no_truth_value(data, tmp_path, key):
    """mmengine takes "no" for True."""
    with pytest.raises(InputError, match=rf"config key {key} is 'no'; it must be True or False"):
        tiny_config(data, tmp_path, **{key: "no"})
    tiny_config(data, tmp_path, **{key: False})
