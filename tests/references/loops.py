"""Short trainings that end early or meet numbers that are not finite."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner
from references.tiny import LORS, runner_of, tiny_config
from torch import Tensor

from lors_det.plugin.saving.checkpoint_hook import finish_writing

WEIGHT = "bbox_head.decoder.stack.stages.1.classify.3.weight"
"""Which :class:`SpoilHook` spoils."""

EPOCH_STEPS, EPOCHS = 4, 3
BASE = {
    "train_cfg.max_epochs": EPOCHS,
    "train_cfg.val_interval": EPOCHS,
    "train_dataloader.batch_size": 4,
    "randomness": dict(seed=1, deterministic=True),
    "default_hooks.checkpoint.max_keep_ckpts": 2,
    "custom_hooks": [dict(type="EMAHook", momentum=0.3)],
}
EVERY_STEP = {"default_hooks.checkpoint.by_epoch": False, "default_hooks.checkpoint.interval": 1}


class Killed(Exception):  # noqa: N818 - it stands for the end of a process
    pass


class KillHook(Hook):
    """Ends a run after a step, or in the validation of an epoch."""

    priority = "LOWEST"

    def __init__(self, step: int | None = None, validation: int | None = None) -> None:
        self.step = step
        self.validation = validation

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        if runner.iter + 1 == self.step:
            raise Killed

    def before_val_epoch(self, runner: Runner) -> None:
        if runner.epoch == self.validation:
            raise Killed


def run(
    data: Path,
    folder: Path,
    kill: KillHook | None = None,
    config: Path = LORS,
    hook: Hook | None = None,
    **options: object,
) -> Runner:
    """A training in this process; the runner, after its end or after it was killed."""
    cfg = tiny_config(data, folder, config, **{**BASE, **options})
    runner = runner_of(cfg)
    if hook is not None:
        runner.register_hook(hook)
    if kill is None:
        runner.train()
    else:
        runner.register_hook(kill)
        with pytest.raises(Killed):
            runner.train()
        finish_writing(runner)
    return runner


def weights(runner: Runner) -> dict[str, Tensor]:
    """The model's, and the mean's, which is what is evaluated."""
    means = (hook.ema_model.state_dict() for hook in runner.hooks if isinstance(hook, EMAHook))
    states = [runner.model.state_dict(), *means]
    return {f"{number}.{name}": value for number, state in enumerate(states) for name, value in state.items()}


def assert_same(left: Runner, right: Runner) -> None:
    ours, theirs = weights(left), weights(right)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    states = [runner.optim_wrapper.optimizer.state_dict()["state"] for runner in (left, right)]
    assert states[0].keys() == states[1].keys() != set()
    for index, state in states[0].items():
        assert state.keys() == states[1][index].keys() != set()
        assert all(torch.equal(value, states[1][index][name]) for name, value in state.items())


class SpoilHook(Hook):
    """Before some steps, makes a weight, or the gradient of one, no number; the weight is itself again after them."""

    def __init__(self, steps: tuple[int, ...], what: str) -> None:
        self.steps, self.what = steps, what

    def before_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        weight = runner.model.get_parameter(WEIGHT)
        self.kept = weight.detach().clone()
        if runner.iter + 1 in self.steps:
            if self.what == "weight":
                weight.data[0] = float("nan")
            else:
                self.handle = weight.register_hook(lambda gradient: gradient * float("inf"))

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        weight = runner.model.get_parameter(WEIGHT)
        if runner.iter + 1 in self.steps:
            if self.what == "weight":
                weight.data.copy_(self.kept)
            else:
                self.handle.remove()
            assert torch.equal(weight, self.kept), "a step that is left out changes no weight"
