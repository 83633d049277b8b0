"""States of optimisers and schedules survive a checkpoint, and those of version 0.1.0 are repaired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS

from lors_det.plugin.saving.plain_checkpoint import PlainCheckpointHook
from lors_det.plugin.saving.schedule_state import take_constants

SCHEDULER_ARGUMENTS = {
    "Step": dict(step_size=3),
    "MultiStep": dict(milestones=[2, 4, 4]),
    "Exponential": dict(gamma=0.5),
    "CosineAnnealing": dict(T_max=5),
    "CosineRestart": dict(periods=[2, 3], restart_weights=[1, 0.5], eta_min=0.1),
    "Poly": dict(power=2),
    "OneCycle": dict(eta_max=1.0, total_steps=10),
    "ReduceOnPlateau": dict(monitor="loss"),
}
OPTIMIZER_ARGUMENTS = {"LBFGS": dict(max_iter=2), "SGD": dict(lr=0.1, momentum=0.9)}
SCHEDULERS = sorted(PARAM_SCHEDULERS.module_dict)
TORCH_OPTIMIZERS = sorted(
    name
    for name, kind in OPTIMIZERS.module_dict.items()
    if kind.__module__.startswith("torch.optim") and name != "Optimizer"
)


def stepped(name: str, num_steps: int = 2):
    """(optimiser, scheduler) after some steps."""
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    kind = PARAM_SCHEDULERS.get(name)
    arguments = next((value for key, value in SCHEDULER_ARGUMENTS.items() if name.startswith(key)), {})
    if "param_name" in kind.__init__.__code__.co_varnames[: kind.__init__.__code__.co_argcount]:
        arguments = dict(param_name="lr", **arguments)
    scheduler = kind(optimizer, **arguments)
    for number in range(num_steps):
        optimizer.step()
        scheduler.step(*([{"loss": 1.0 - number}] if name.startswith("ReduceOnPlateau") else []))
    return optimizer, scheduler


class OneStepEpochs(SimpleNamespace):
    """A loader of epochs of one step."""

    def __len__(self) -> int:
        return 1


def saved_and_loaded(checkpoint: dict, live: list, path, *, groups: Sequence[dict] = (), steps: int = 0) -> dict:
    """What a run that resumes after so many steps finds, with these schedulers and groups of its own."""
    runner = SimpleNamespace(
        _resume=True,
        logger=MMLogger.get_current_instance(),
        param_schedulers=live,
        optim_wrapper=SimpleNamespace(param_groups=groups),
        train_dataloader=OneStepEpochs(dataset=SimpleNamespace(metainfo={})),
    )
    checkpoint.update(meta=dict(iter=steps, epoch=steps), optimizer=checkpoint.get("optimizer", {"param_groups": []}))
    hook = PlainCheckpointHook()
    hook.before_save_checkpoint(runner, checkpoint)
    torch.save(checkpoint, path)
    loaded = torch.load(path, weights_only=True)
    hook.after_load_checkpoint(runner, loaded)
    return loaded


def assert_equal(left, right) -> None:
    """Equal in value and kind, all the way down."""
    assert type(left) is type(right), (left, right)
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right)
        for a, b in zip(left, right):
            assert_equal(a, b)
    else:
        assert left == right


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_schedulers_state_survives(name, tmp_path):
    _, scheduler = stepped(name)
    before = scheduler.state_dict()
    _, other = stepped(name, 1)
    loaded = saved_and_loaded({"param_schedulers": [scheduler.state_dict()]}, [other], tmp_path / "state.pth")
    other.load_state_dict(loaded["param_schedulers"][0])
    assert_equal(other.state_dict(), before)


@pytest.mark.parametrize("name", TORCH_OPTIMIZERS)
def test_every_optimisers_state_survives(name, tmp_path):
    parameter = torch.nn.Parameter(torch.ones(4, 3))
    optimizer = OPTIMIZERS.get(name)([parameter], **{"lr": 0.1, **OPTIMIZER_ARGUMENTS.get(name, {})})

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = parameter.square().sum()
        value.backward()
        if name == "SparseAdam":
            parameter.grad = parameter.grad.to_sparse()
        return value

    for _ in range(2):
        optimizer.step(loss)
    before = optimizer.state_dict()
    loaded = saved_and_loaded({"optimizer": optimizer.state_dict()}, [], tmp_path / "state.pth")
    assert_equal(loaded["optimizer"], before)


def test_a_schedule_that_follows_another_figure_looks_for_its_best_anew():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    kind = PARAM_SCHEDULERS.get("ReduceOnPlateauLR")
    before, now = kind(optimizer, monitor="loss"), kind(optimizer, monitor="AP", rule="greater", patience=3, eps=1e-2)
    before.step({"loss": 0.5})
    state = before.state_dict()
    assert state["best"] == 0.5
    changed = take_constants(now, state)
    assert set(changed) == {"monitor", "rule", "patience", "eps"}
    assert {name: state[name] for name in ("monitor", "best", "rule_worse")} == {
        "monitor": "AP",
        "best": now.best,
        "rule_worse": now.rule_worse,
    }


def wrongly_rebuilt(state: dict, times: int) -> dict:
    """As version 0.1.0 wrote it."""
    for _ in range(times):
        state = {**state, "milestones": Counter((key, value) for key, value in state["milestones"].items())}
    return state


@pytest.mark.parametrize("times", [1, 2, 3])
def test_milestones_of_the_first_version_are_repaired(times, tmp_path):
    _, scheduler = stepped("MultiStepLR")
    state = wrongly_rebuilt(scheduler.state_dict(), times)
    assert 4 not in state["milestones"]
    loaded = saved_and_loaded({"param_schedulers": [state]}, [scheduler], tmp_path / "state.pth")
    assert_equal(loaded["param_schedulers"][0]["milestones"], Counter({2: 1, 4: 2}))


def test_decays_that_a_resumed_run_missed_are_made_good(tmp_path):
    def begun():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
        warm_up = PARAM_SCHEDULERS.get("LinearLR")(optimizer, start_factor=0.01, begin=0, end=2)
        return optimizer, [warm_up, PARAM_SCHEDULERS.get("MultiStepLR")(optimizer, milestones=[3, 4, 9], gamma=0.1)]

    optimizer, schedulers = begun()
    for _ in range(5):
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    right, states = optimizer.param_groups[0]["lr"], [scheduler.state_dict() for scheduler in schedulers]
    assert right == pytest.approx(0.001)
    optimizer.param_groups[0]["lr"] = 0.1  # the resumed run met no milestone
    checkpoint = {
        "param_schedulers": [states[0], wrongly_rebuilt(states[1], 2)],
        "optimizer": optimizer.state_dict(),
    }
    own, live = begun()
    loaded = saved_and_loaded(checkpoint, live, tmp_path / "state.pth", groups=own.param_groups, steps=5)
    assert loaded["optimizer"]["param_groups"][0]["lr"] == right
    assert_equal(loaded["param_schedulers"], states)
