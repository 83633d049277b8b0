"""Training ends when validations gain nothing; evaluations do not need the training set."""

from __future__ import annotations

import uuid

import pytest
import torch
from mmengine.runner import Runner, find_latest_checkpoint
from references.tiny import make_data, tiny_config

from lors_det.errors import InputError

PATIENCE = dict(type="PatienceHook", monitor="coco/bbox_mAP", rule="greater", patience=2, min_delta=0.9)


def runner_of(cfg):
    cfg.experiment_name = f"test_{uuid.uuid4().hex}"  # mmengine keeps runners by name
    return Runner.from_cfg(cfg)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory):
    """A run of at most ten epochs; no validation can gain 0.9."""
    work_dir = tmp_path_factory.mktemp("run")
    runner = runner_of(tiny_config(data, work_dir, custom_hooks=[PATIENCE], **{"train_cfg.max_epochs": 10}))
    runner.train()
    return work_dir, runner.epoch


def test_it_stops_after_so_many_validations_without_a_gain(stopped):
    assert stopped[1] == 3  # the first is the best, and two more do not better it


def test_a_test_builds_no_training_set(data, stopped, tmp_path):
    gone = {"train_dataloader.dataset.ann_file": "annotations/gone.json"}
    cfg = tiny_config(
        data, tmp_path, custom_hooks=[PATIENCE], load_from=find_latest_checkpoint(str(stopped[0])), **gone
    )
    assert "coco/bbox_mAP" in runner_of(cfg).test()


@pytest.mark.parametrize("hook", ["PatienceHook", "EarlyStoppingHook"])
def test_a_test_takes_no_checkpoint_of_other_classes(data, stopped, tmp_path, hook):
    """Whatever a hook builds of a training: class heads are made anew for fine-tuning alone."""
    trained = torch.load(find_latest_checkpoint(str(stopped[0])), weights_only=True)
    trained["meta"]["dataset_meta"]["classes"] = ("other", *trained["meta"]["dataset_meta"]["classes"][1:])
    torch.save(trained, tmp_path / "other.pth")
    cfg = tiny_config(data, tmp_path, custom_hooks=[{**PATIENCE, "type": hook}], load_from=str(tmp_path / "other.pth"))
    with pytest.raises(InputError, match="missing: other"):
        runner_of(cfg).test()
