"""Evaluations compute with weights that were corrected once, those that are evaluated; training never does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from references.tiny import ADAMIXER, LORS, tiny_config
from references.tiny import runner_of as runner_of_config
from torch import Tensor

from lors_det.lors import SharedStack
from lors_det.plugin.config.data import augment_test_time
from lors_det.plugin.hooks.folding import FoldingHook


class Spy(Hook):
    """Notes, at each moment, whether the decoder is folded and what it was folded of; runs after all other hooks."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.folded: dict[str, list[bool]] = {}
        self.kept: list[dict[str, Tensor]] = []
        self.detections: list[Tensor] = []

    def note(self, moment: str, runner: Runner) -> None:
        self.folded.setdefault(moment, []).append(stack_of(runner)._kept is not None)

    def before_train_iter(self, runner, *args, **kwargs):
        self.note("train", runner)

    def before_val_epoch(self, runner):
        self.kept.append({name: weight.clone() for name, weight in stack_of(runner).weights(1).items()})

    def after_val_iter(self, runner, *args, **kwargs):
        self.note("val", runner)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.note("test", runner)
        found = [sample.pred_instances for sample in outputs]
        self.detections.append(torch.cat([torch.cat([each.bboxes, each.scores[:, None]], dim=1) for each in found]))

    def after_train_epoch(self, runner):
        self.note("after", runner)


def stack_of(runner: Runner) -> SharedStack:
    (stack,) = (module for module in runner.model.modules() if isinstance(module, SharedStack))
    return stack


def runner_of(data: Path, folder: Path, config: Path = LORS, *, tta: bool = False, **options: object) -> Runner:
    cfg = tiny_config(data, folder, config, **{"train_cfg.max_epochs": 2, **options})
    if tta:
        augment_test_time(cfg)
    runner = runner_of_config(cfg)
    runner.register_hook(Spy())
    return runner


def spy_of(runner: Runner) -> Spy:
    return next(hook for hook in runner.hooks if isinstance(hook, Spy))


@pytest.mark.parametrize("config", [LORS, ADAMIXER], ids=["lors", "adamixer"])
def test_evaluations_fold_and_training_does_not(data, tmp_path, config):
    runner = runner_of(data, tmp_path, config)
    runner.train()
    runner.test()
    runner.val()
    moments = spy_of(runner).folded
    assert not any(moments["train"])
    assert not any(moments["after"])
    assert len(moments["val"]) >= 3
    assert all(moments["val"])
    assert moments["test"]
    assert all(moments["test"])
    assert stack_of(runner)._kept is None


def test_each_validation_folds_the_weights_of_its_moment(data, tmp_path):
    runner = runner_of(data, tmp_path)
    runner.train()
    first, second = spy_of(runner).kept
    current = stack_of(runner).weights(1)
    for name in current:
        assert not torch.equal(first[name], second[name])
        assert torch.equal(second[name], current[name])


def test_a_folded_evaluation_detects_what_an_unfolded_one_does(data, tmp_path):
    runner = runner_of(data, tmp_path)
    runner.train()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, FoldingHook))
    runner.test()
    runner._hooks.remove(hook)
    runner.test()
    folded, unfolded = spy_of(runner).detections
    assert spy_of(runner).folded["test"] == [True, False]
    assert len(folded) == 8 * 8
    assert len(folded.unique(dim=0)) > 8
    torch.testing.assert_close(folded, unfolded, rtol=1e-5, atol=1e-5)


def test_what_is_folded_is_an_average_of_the_weights_where_that_is_evaluated(data, tmp_path):
    """And training goes on from its own weights."""
    runner = runner_of(data, tmp_path, custom_hooks=[dict(type="EMAHook", momentum=0.3)])
    runner.train()
    (average,) = (hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook))
    expected, own = average.bbox_head.decoder.stack.weights(1), stack_of(runner).weights(1)
    kept = spy_of(runner).kept[-1]
    for name in kept:
        assert torch.equal(kept[name], expected[name])
        assert not torch.equal(kept[name], own[name])
    assert average.bbox_head.decoder.stack._kept is None
    assert not any(spy_of(runner).folded["train"])


def test_in_half_precision_the_weights_are_kept_in_it(data, tmp_path):
    runner = runner_of(data, tmp_path, **{"val_cfg.fp16": True})
    runner.train()
    (device,) = {parameter.device.type for parameter in runner.model.parameters()}
    assert {weight.dtype for weight in spy_of(runner).kept[0].values()} == {torch.get_autocast_dtype(device)}
    assert {parameter.dtype for parameter in runner.model.parameters()} == {torch.float32}


def test_a_model_inside_another_is_folded(data, tmp_path):
    """As test-time augmentation wraps it."""
    runner = runner_of(data, tmp_path, tta=True)
    runner.test()
    assert all(spy_of(runner).folded["test"])
    assert stack_of(runner)._kept is None


@pytest.mark.parametrize("where", ["iteration", "metrics"])
def test_a_failed_evaluation_spoils_nothing(data, tmp_path, monkeypatch, where):
    """Neither the next one, which has other weights, nor the training that someone goes on with."""
    runner = runner_of(data, tmp_path)
    runner.train()

    def fail(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Evaluator, "process" if where == "iteration" else "evaluate", fail)
        with pytest.raises(KeyboardInterrupt):
            runner.val()
    with torch.no_grad():
        for parameter in runner.model.bbox_head.decoder.parameters():
            parameter.mul_(1.01)
    runner.val()
    kept, current = spy_of(runner).kept[-1], stack_of(runner).weights(1)
    assert all(torch.equal(kept[name], current[name]) for name in current)
    assert stack_of(runner)._kept is None

    with monkeypatch.context() as broken:
        broken.setattr(Evaluator, "process" if where == "iteration" else "evaluate", fail)
        with pytest.raises(KeyboardInterrupt):
            runner.val()
    runner.train_loop._epoch = 1
    runner.train_loop.stop_training = False
    runner.train()
    assert not spy_of(runner).folded["train"][-1]
