"""What may change when a run is resumed, and what may not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from mmengine.config import Config

from lors_det.errors import InputError
from lors_det.training import train
from lors_det.training.resuming import FormerRun, check_agreed, check_same, may_be_restarted

GENTLE = dict(type="GentleFinishHook", last=0.2, pipeline=[dict(type="Resize", scale=(64, 64))])
CONFIG = dict(
    model=dict(type="SingleStageDetector", bbox_head=dict(num_queries=8), test_cfg=dict(clip_boxes=False)),
    train_dataloader=dict(batch_size=4, num_workers=2, dataset=dict(data_root="a/")),
    optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-3)),
    param_scheduler=[dict(type="MultiStepLR", milestones=[2])],
    train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=3),
    custom_hooks=[dict(type="EMAHook", momentum=0.1), dict(type="PatienceHook", patience=5), GENTLE],
    randomness=dict(seed=0),
)


def differences(changes: dict[str, object], world_size: int = 1, steps: int = 10) -> str:
    """What is said where a config has changed so; nothing where that does not matter."""
    cfg = Config(CONFIG)
    cfg.merge_from_dict(changes)
    former = FormerRun(Path("run/epoch_1.pth"), Config(CONFIG), 1, 10, 10, 1, True)
    loop = SimpleNamespace(dataloader=range(steps))
    runner = SimpleNamespace(cfg=cfg, rank=0, world_size=world_size, train_loop=loop, val_loop=None)
    try:
        check_same(former, runner, anyway=False)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train_dataloader.num_workers": 0},
        {"train_dataloader.dataset.data_root": "/moved/"},
        {"train_cfg.type": "ExactTrainLoop"},  # of a run that began before there was one
        {"train_cfg.when_not_finite": "skip"},  # as the message of a step that is not finite advises
        {"train_cfg.max_epochs": 6, "param_scheduler.0.milestones": [4]},
        {"model.test_cfg.clip_boxes": True},
        {"custom_hooks.1.patience": 9},
    ],
    ids=str,
)
def test_what_does_not_matter(changes):
    assert differences(changes) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_dataloader.batch_size": 8}, "train_dataloader.batch_size: 4 then, 8 now"),
        ({"optim_wrapper.optimizer.lr": 1e-4}, "optim_wrapper.optimizer.lr: 0.001 then, 0.0001 now"),
        ({"optim_wrapper.accumulative_counts": 2}, "optim_wrapper.accumulative_counts: - then, 2 now"),
        ({"model.bbox_head.num_queries": 9}, "model.bbox_head.num_queries: 8 then, 9 now"),
        ({"randomness.seed": 1}, "randomness.seed: 0 then, 1 now"),
        ({"sync_bn": "torch"}, "sync_bn: - then, torch now"),
        ({"param_scheduler.0.milestones": [1]}, "milestones"),
        ({"train_cfg.max_epochs": 2, "param_scheduler.0.milestones": [1]}, "milestones"),
        (
            {"train_cfg.max_epochs": 6, "param_scheduler.0.milestones": [4], "param_scheduler.0.gamma": 0.5},
            "param_scheduler: [{'type': 'MultiStepLR'}] then, [{'type': 'MultiStepLR', 'gamma': 0.5}] now",
        ),
        ({"train_cfg.max_epochs": 6, "param_scheduler.0.type": "ConstantLR"}, "'ConstantLR'"),
        ({"custom_hooks.0.momentum": 0.2}, "hook EMAHook"),
        ({"custom_hooks": []}, "hook EMAHook"),
        ({"default_hooks.mean": dict(type="EMAHook", momentum=0.3)}, "hook EMAHook"),
        ({"custom_hooks.2.last": 0.9}, "hook GentleFinishHook: {'last': 0.2, 'pipeline'"),
        ({"custom_hooks.2.pipeline": []}, "hook GentleFinishHook"),
    ],
    ids=str,
)
def test_what_matters(changes, words):
    said = differences(changes)
    assert said.startswith("the run of run/epoch_1.pth is another than this one:\n")
    assert words in said
    assert said.endswith("resume it as it was, or say --resume-anyway to go on with what is new")


def test_processes_and_steps():
    assert "processes: 1 then, 2 now" in differences({}, world_size=2)
    assert "steps of an epoch: 10 then, 5 now" in differences({}, steps=5)


def test_processes_that_see_other_checkpoints(monkeypatch):
    former = FormerRun(Path("run/epoch_1.pth"), None, 1, 10, 10, 1, True)
    runner = SimpleNamespace(train_loop=SimpleNamespace(dataloader=range(10)), val_loop=None)
    check_agreed(former, runner)
    check_agreed(None, runner)
    monkeypatch.setattr("lors_det.training.resuming.all_gather_object", lambda own: [own, ("none", 0, 0)])
    with pytest.raises(InputError, match=r"epoch_1\.pth to process 0, none to process 1; let all have the same files"):
        check_agreed(former, runner)


def test_processes_that_see_other_data(monkeypatch):
    """As where a machine's copy lacks images; they would wait for each other at the end of the shorter epoch."""
    loader = MagicMock(dataset=SimpleNamespace(contents="40 images"))
    loader.__len__.return_value = 10
    runner = SimpleNamespace(train_loop=SimpleNamespace(dataloader=loader), val_loop=None)
    found = {"train": "39 images", "steps of an epoch": "10"}
    monkeypatch.setattr(
        "lors_det.training.resuming.all_gather_object", lambda own: [own, found] if isinstance(own, dict) else [own]
    )
    with pytest.raises(
        InputError, match="process 1 sees other data than the first: train, 39 images and 40 images; let"
    ):
        check_agreed(None, runner)


def test_torchrun_tells_that_it_restarts(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_MAX_RESTARTS", raising=False)
    assert not may_be_restarted()
    for value, expected in (("0", False), ("3", True)):
        monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", value)
        assert may_be_restarted() == expected


def test_going_on_anyway_asks_for_a_run_to_go_on_with():
    with pytest.raises(InputError, match="--resume-anyway goes on with a run, and none is named: add --resume"):
        train("a config that is not read", resume_anyway=True)
