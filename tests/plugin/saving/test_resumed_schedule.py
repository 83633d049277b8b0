"""The learning rate of a run that was interrupted and resumed is that of a run that was not."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.runner import Runner, find_latest_checkpoint
from references.tiny import CONFIGS

from lors_det.plugin.config.reading import SAFE_HOOKS

EPOCH, WARM_UP = 60, 50
"""Steps."""


class Line(BaseModel):
    """One weight, so that twelve epochs take seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, mode: str) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight - x).square().mean()}


class Rates(Hook):
    """Keeps the learning rate of each step, and ends the run before an epoch as Ctrl-C would."""

    def __init__(self, stop_before: int | None = None) -> None:
        self.rates: list[float] = []
        self.stop_before = stop_before

    def before_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == self.stop_before:
            raise KeyboardInterrupt

    def before_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        self.rates.append(runner.optim_wrapper.get_lr()["lr"][0])


def rates_of(
    work_dir: Path,
    *,
    stop_before: int | None = None,
    resume: bool = False,
    max_epochs: int = 12,
    schedule_file: str = "schedule_1x.py",
    milestones: list[int] | None = None,
) -> list[float]:
    """Learning rates of a run that is stopped before an epoch, or goes to its end.

    The schedule is the published 1x; its epochs and warm-up are shorter.
    """
    schedule = Config.fromfile(CONFIGS / "_base_" / schedule_file)
    schedule.param_scheduler[0].end = WARM_UP
    if milestones is not None:
        schedule.param_scheduler[1].milestones = milestones
    runner = Runner(
        Line(),
        str(work_dir),
        train_dataloader=dict(
            dataset=torch.zeros(EPOCH), batch_size=1, sampler=dict(type="DefaultSampler", shuffle=True)
        ),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=schedule.optim_wrapper,
        param_scheduler=schedule.param_scheduler,
        default_hooks={
            "logger": dict(type="LoggerHook", interval=EPOCH),
            **{name: SAFE_HOOKS[name] for name in ("plain_checkpoint", "data_guard")},
        },
        resume=resume,
        default_scope="mmdet",
        log_level="ERROR",
        experiment_name=uuid.uuid4().hex,  # mmengine keeps runners by name
    )
    hook = Rates(stop_before)
    runner.register_hook(hook)
    if stop_before is None:
        runner.train()
    else:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    return hook.rates


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> list[float]:
    rates = rates_of(tmp_path_factory.mktemp("whole"))
    assert len(rates) == 12 * EPOCH
    assert rates[0] == pytest.approx(2.5e-8)
    assert rates[WARM_UP] == rates[8 * EPOCH - 1] == pytest.approx(2.5e-5)
    assert rates[8 * EPOCH] == pytest.approx(2.5e-6)
    assert rates[-1] == pytest.approx(2.5e-7)
    return rates


@pytest.mark.parametrize("stops", [(1, 9), (3, 8)], ids=str)
def test_resumed_twice(tmp_path, uninterrupted, stops):
    rates = rates_of(tmp_path, stop_before=stops[0])
    rates += rates_of(tmp_path, stop_before=stops[1], resume=True)
    rates += rates_of(tmp_path, resume=True)
    assert rates == uninterrupted


def test_resumed_from_a_checkpoint_of_the_first_version(tmp_path, uninterrupted):
    rates = rates_of(tmp_path, stop_before=3)
    path = find_latest_checkpoint(str(tmp_path))
    content = torch.load(path, weights_only=True)
    state = content["param_schedulers"][1]
    state["milestones"] = Counter((key, value) for key, value in state["milestones"].items())  # as it wrote them
    torch.save(content, path)
    assert rates + rates_of(tmp_path, resume=True) == uninterrupted


def test_a_run_that_is_made_longer_goes_on_as_a_long_one(tmp_path, uninterrupted):
    """Its schedules, which end with the run, were saved with the end of the short one."""
    rates = rates_of(tmp_path, max_epochs=5)
    rates += rates_of(tmp_path, resume=True, max_epochs=9)
    assert rates + rates_of(tmp_path, resume=True) == uninterrupted


def test_a_run_that_goes_on_with_later_milestones_goes_on_as_if_it_always_had_them(tmp_path):
    """From a 1x schedule to a longer one, of which the short one has had all decays."""
    whole = rates_of(tmp_path / "whole", milestones=[8, 11])
    rates_of(tmp_path / "short", milestones=[2, 3], max_epochs=4)
    rest = rates_of(tmp_path / "short", resume=True, milestones=[8, 11])
    assert rest == pytest.approx(whole[4 * EPOCH :], rel=1e-9)


def plateau_of(work_dir: Path, max_epochs: int, **options: Any) -> tuple[list[float], dict[str, Any]]:
    """Rates by epoch of a run, or of the rest of one, whose loss never gets better, and what its schedule then is."""
    runner = Runner(
        Line(),
        str(work_dir),
        train_dataloader=dict(dataset=torch.zeros(4), batch_size=1, sampler=dict(type="DefaultSampler", shuffle=True)),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=1.0)),
        param_scheduler=[dict(type="ReduceOnPlateauLR", monitor="loss", factor=0.5, patience=0, **options)],
        default_hooks={name: SAFE_HOOKS[name] for name in ("plain_checkpoint", "data_guard")},
        resume=work_dir.is_dir(),
        default_scope="mmdet",
        log_level="ERROR",
        experiment_name=uuid.uuid4().hex,
    )

    class Validated(Hook):
        def __init__(self) -> None:
            self.rates: list[float] = []

        def after_train_epoch(self, runner: Runner) -> None:
            self.rates.append(runner.optim_wrapper.get_lr()["lr"][0])
            for schedule in runner.param_schedulers:
                schedule.step({"loss": 1.0})

    hook = Validated()
    runner.register_hook(hook, priority="VERY_HIGH")  # before the checkpoint
    runner.train()
    return hook.rates, vars(runner.param_schedulers[0])


def test_a_schedule_that_follows_validations_goes_on_where_it_was_in_a_longer_run(tmp_path):
    rates, _ = plateau_of(tmp_path / "run", 3)
    assert rates == [1.0, 1.0, 0.5]
    rates, state = plateau_of(tmp_path / "run", 5, threshold=0.3, cooldown=1)
    assert rates == [0.25, 0.125]
    assert (state["threshold"], state["cooldown"], state["best"]) == (0.3, 1, 1.0)


def rates_by_steps(work_dir: Path, max_iters: int, schedule: dict[str, Any]) -> list[float]:
    """Learning rates of a run by iterations, or of what is left of one."""
    runner = Runner(
        Line(),
        str(work_dir),
        train_dataloader=dict(dataset=torch.zeros(4), batch_size=1, sampler=dict(type="InfiniteSampler")),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=1.0)),
        param_scheduler=[dict(by_epoch=False, end=max_iters, **schedule)],
        default_hooks={
            "checkpoint": dict(type="CheckpointHook", by_epoch=False, interval=4),
            **{name: SAFE_HOOKS[name] for name in ("plain_checkpoint", "data_guard")},
        },
        resume=work_dir.is_dir(),
        default_scope="mmdet",
        log_level="ERROR",
        experiment_name=uuid.uuid4().hex,
    )
    hook = Rates()
    runner.register_hook(hook)
    runner.train()
    return hook.rates


@pytest.mark.parametrize(
    ("kind", "length"),
    [(dict(type="OneCycleLR", eta_max=1.0), "total_steps"), (dict(type="CosineAnnealingLR"), "T_max")],
)
def test_a_schedule_of_steps_goes_on_as_a_long_one(tmp_path, kind, length):
    whole = rates_by_steps(tmp_path / "whole", 8, {**kind, length: 8})
    rates_by_steps(tmp_path / "short", 4, {**kind, length: 4})
    rest = rates_by_steps(tmp_path / "short", 8, {**kind, length: 8})
    assert len(rest) == 4
    assert rest == pytest.approx(whole[4:], rel=1e-9)


def test_a_cosine_that_is_made_shorter_goes_on_as_a_short_one(tmp_path):
    cosine = {"schedule_file": "schedule_scratch.py"}
    whole = rates_of(tmp_path / "whole", max_epochs=8, **cosine)
    rates_of(tmp_path / "long", stop_before=4, **cosine)
    rest = rates_of(tmp_path / "long", resume=True, max_epochs=8, **cosine)
    assert rest == pytest.approx(whole[4 * EPOCH :], rel=1e-9)


@pytest.mark.parametrize("short", [4, 7])
def test_a_cosine_that_is_made_longer_goes_on_as_a_long_one(tmp_path, short, monkeypatch):
    """Whether the short one had ended or was stopped, its rate was lower than that of a long one there."""
    said: list[str] = []
    monkeypatch.setattr(MMLogger, "warning", lambda self, words, *more: said.append(str(words)))
    cosine = {"schedule_file": "schedule_scratch.py"}
    whole = rates_of(tmp_path / "whole", **cosine)
    assert whole[EPOCH] > 0.98 * max(whole) > 50 * whole[-1]
    rates_of(tmp_path / "short", stop_before=4 if short > 4 else None, max_epochs=short, **cosine)
    rest = rates_of(tmp_path / "short", resume=True, **cosine)
    assert rest == pytest.approx(whole[4 * EPOCH :], rel=1e-9)
    schedule, rate = (words for words in said if "param_scheduler" in words or words.startswith("lr was"))
    assert re.search(r"CosineAnnealingLR, had .*end=.*T_max=.* config's .*end=.*T_max=", schedule)
    assert re.fullmatch(r"lr was \S+, and is \S+ now, as .*", rate)
