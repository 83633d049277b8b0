"""Parameter groups: what decays, how few groups there are, and states saved with one group for each parameter."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.optim import MultiStepLR, OptimWrapper, build_optim_wrapper
from mmengine.optim.scheduler import LinearLR
from torch import Tensor, nn

from lors_det.errors import InputError
from lors_det.plugin.config.reading import load_config
from lors_det.plugin.optimizer import merge_groups, merge_saved_groups

CONFIGS = Path(__file__).parent.parent.parent / "configs"
SWIN = sorted(CONFIGS.glob("*adamixer/*swin*.py"))
WITHOUT_DECAY = {  # numbers are of stages and blocks
    *(f"backbone.{norm}.{kind}" for norm in ("patch_embed.norm", "norm#") for kind in ("weight", "bias")),
    *(f"backbone.stages.#.blocks.#.norm#.{kind}" for kind in ("weight", "bias")),
    *(f"backbone.stages.#.downsample.norm.{kind}" for kind in ("weight", "bias")),
    "backbone.stages.#.blocks.#.attn.w_msa.relative_position_bias_table",
    *(f"neck.norm.{kind}" for kind in ("weight", "bias")),
    *(
        f"bbox_head.decoder.stack.stages.#.{norm}.{kind}"
        for norm in ("attention.norm", "mixing.norm", "ffn.norm", "classify.#", "regress.#")
        for kind in ("weight", "bias")
    ),
}


class Net(nn.Module):
    """Parameters of three settings by turns; positions and norms come between weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 8)
        self.position_table = nn.Parameter(torch.randn(8))
        self.norm = nn.LayerNorm(8)
        self.slow = nn.Linear(8, 8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.last = nn.Sequential(nn.GroupNorm(2, 8), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(x) + self.position_table)
        return self.last(self.frozen(self.slow(x).relu()))


def config(constructor: str | None = "MergedOptimWrapperConstructor") -> ConfigDict:
    """Three settings: the base, no decay, a tenth of the learning rate."""
    keys = dict(position_table=dict(decay_mult=0.0), slow=dict(lr_mult=0.1))
    cfg = ConfigDict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=0.01, weight_decay=0.1),
        paramwise_cfg=dict(custom_keys=keys, norm_decay_mult=0.0),
    )
    if constructor:
        cfg.constructor = constructor
    return cfg


def settings_by_name(model: nn.Module, wrapper: OptimWrapper) -> dict[str, dict[str, Any]]:
    """Of each parameter, which must be in the optimiser once."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = [(names[id(p)], group) for group in wrapper.optimizer.param_groups for p in group["params"]]
    settings = {
        name: {key: value for key, value in group.items() if key not in ("params", "lr_mult", "decay_mult")}
        for name, group in found
    }
    assert len(settings) == len(found)
    return settings


class Run:
    """A model with its optimiser and schedules, as a Runner holds them."""

    def __init__(self, cfg: ConfigDict) -> None:
        torch.manual_seed(0)
        self.model = Net()
        self.wrapper = build_optim_wrapper(self.model, cfg)
        self.schedules = [
            LinearLR(self.wrapper, start_factor=0.1, by_epoch=False, begin=0, end=5),
            MultiStepLR(self.wrapper, by_epoch=False, milestones=[8], gamma=0.1),
        ]

    def steps(self, start: int, stop: int) -> None:
        for step in range(start, stop):
            batch = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
            self.wrapper.update_params(self.model(batch).square().sum())
            for schedule in self.schedules:
                schedule.step()

    def checkpoint(self) -> dict[str, Any]:
        states = [schedule.state_dict() for schedule in self.schedules]
        return copy.deepcopy({"optimizer": self.wrapper.state_dict(), "param_schedulers": states})

    def resume(self, weights: dict[str, Tensor], checkpoint: dict[str, Any]) -> None:
        self.model.load_state_dict(weights)
        self.wrapper.load_state_dict(dict(checkpoint["optimizer"]))
        for schedule, state in zip(self.schedules, checkpoint["param_schedulers"]):
            schedule.load_state_dict(state)


def assert_equal_weights(left: nn.Module, right: nn.Module) -> None:
    other = right.state_dict()
    assert [name for name, value in left.state_dict().items() if not torch.equal(value, other[name])] == []


@pytest.mark.parametrize("path", SWIN, ids=lambda path: path.stem)
def test_swin_decays_all_but_tables_and_norms(path):
    cfg = load_config(path, {"model.bbox_head.num_classes": 3})
    cfg.model.backbone.init_cfg = None  # no download
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    decay = {name: setting["weight_decay"] for name, setting in settings_by_name(model, wrapper).items()}
    assert decay.keys() == {name for name, _ in model.named_parameters()}
    assert set(decay.values()) == {0.0, 1e-4}
    without = {name for name, value in decay.items() if value == 0}
    assert {re.sub(r"\d+", "#", name) for name in without} == WITHOUT_DECAY
    norms = {
        f"{name}.{kind}"
        for name, module in model.named_modules()
        if isinstance(module, (nn.LayerNorm, nn.GroupNorm))
        for kind, _ in module.named_parameters()
    }
    assert {name for name in without if not name.endswith("_table")} == norms
    assert len(wrapper.optimizer.param_groups) == 2


def test_groups_are_as_many_as_settings():
    model = Net()
    merged, single = (build_optim_wrapper(model, config(name)) for name in ("MergedOptimWrapperConstructor", None))
    assert settings_by_name(model, merged) == settings_by_name(model, single)
    assert len(single.optimizer.param_groups) == sum(parameter.requires_grad for parameter in model.parameters())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert [[names[id(p)] for p in group["params"]] for group in merged.optimizer.param_groups] == [
        ["position_table", "norm.weight", "norm.bias", "last.0.weight", "last.0.bias"],
        ["first.weight", "first.bias", "last.1.weight", "last.1.bias"],
        ["slow.weight", "slow.bias"],
    ]


def test_merged_groups_make_the_same_updates():
    runs = [Run(config(name)) for name in ("MergedOptimWrapperConstructor", None)]
    start = copy.deepcopy(runs[0].model)
    for run in runs:
        run.steps(0, 12)
    assert_equal_weights(runs[0].model, runs[1].model)
    moved = [not torch.equal(old, new) for old, new in zip(start.parameters(), runs[0].model.parameters())]
    assert moved == [parameter.requires_grad for parameter in start.parameters()]


def test_a_setting_that_is_the_default_makes_no_group():
    first, second, third = (nn.Parameter(torch.rand(1)) for _ in range(3))
    groups = [{"params": [first]}, {"params": [second], "lr": 0.5}, {"params": [third], "lr": 1.0, "lr_mult": 1.0}]
    merged = merge_groups(groups, {"lr": 1.0})
    assert [[id(p) for p in group["params"]] for group in merged] == [[id(first), id(third)], [id(second)]]
    assert [group["params"] for group in groups] == [[first], [second], [third]]  # the arguments stay


def test_shared_parameters_are_stepped_once():
    """torch only warns of one that is twice in a group, and refuses one that is in two."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.slow = nn.Linear(4, 4), nn.Linear(4, 4)

    cfg = config()
    del cfg.paramwise_cfg.custom_keys["position_table"]
    model = Tied()
    model.slow.bias = model.first.bias
    with pytest.raises(ValueError, match="more than one parameter group"):
        build_optim_wrapper(model, cfg)
    model.slow.bias = nn.Parameter(torch.zeros(4))
    model.other = nn.Linear(4, 4)
    model.other.weight = model.first.weight
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    assert [len(group["params"]) for group in groups] == [3, 2]


def test_a_state_of_single_groups_goes_on_in_merged_ones():
    """Moments, learning rates and schedules go on where they were, in the warm-up as after a decay."""
    for stop in (3, 10):
        old = Run(config(None))
        old.steps(0, stop)
        saved, weights = old.checkpoint(), copy.deepcopy(old.model.state_dict())
        before = copy.deepcopy(saved)
        new = Run(config())
        merged = merge_saved_groups(saved, new.wrapper.optimizer, new.model.parameters())
        assert repr(saved) == repr(before)  # the checkpoint stays
        new.resume(weights, {**saved, **merged})
        assert [len(s.base_values) for s in new.schedules] == [4, 4]  # three groups, and mmengine's base setting
        assert new.wrapper.get_lr()["base_lr"] == old.wrapper.get_lr()["base_lr"]
        assert settings_by_name(new.model, new.wrapper) == settings_by_name(old.model, old.wrapper)
        for run in (old, new):
            run.steps(stop, stop + 6)
        assert_equal_weights(new.model, old.model)
        assert settings_by_name(new.model, new.wrapper) == settings_by_name(old.model, old.wrapper)


def test_a_state_of_single_groups_goes_on_in_one_group():
    """Where all settings turn out equal, mmengine keeps no base setting beside the groups."""
    single, merged = config(None), config()
    single.paramwise_cfg = merged.paramwise_cfg = ConfigDict(bias_lr_mult=1.0)
    old, new = Run(single), Run(merged)
    old.steps(0, 3)
    saved = old.checkpoint()
    changes = merge_saved_groups(saved, new.wrapper.optimizer, new.model.parameters())
    new.resume(old.model.state_dict(), {**saved, **changes})
    assert [len(schedule.base_values) for schedule in new.schedules] == [1, 1]
    assert "base_lr" not in new.wrapper.get_lr()  # no schedule would move it
    for run in (old, new):
        run.steps(3, 9)
    assert_equal_weights(new.model, old.model)


def test_merged_states_are_left_alone():
    old, new = Run(config()), Run(config())
    old.steps(0, 3)
    assert merge_saved_groups(old.checkpoint(), new.wrapper.optimizer, new.model.parameters()) == {}
    other = Run(config(None))  # a stock constructor takes its own states
    other.steps(0, 1)
    assert merge_saved_groups(other.checkpoint(), Run(config(None)).wrapper.optimizer, new.model.parameters()) == {}


def test_what_the_config_changed_since_holds():
    """A norm that decayed when the state was saved, and does not now."""
    cfg = config(None)
    cfg.paramwise_cfg.custom_keys["last.0"] = dict(decay_mult=1.0)
    old, new = Run(cfg), Run(config())
    old.steps(0, 3)
    assert settings_by_name(old.model, old.wrapper)["last.0.weight"]["weight_decay"] == 0.1
    merged = merge_saved_groups(old.checkpoint(), new.wrapper.optimizer, new.model.parameters())
    new.resume(old.model.state_dict(), {**old.checkpoint(), **merged})
    settings = settings_by_name(new.model, new.wrapper)
    assert settings["last.0.weight"]["weight_decay"] == settings["norm.weight"]["weight_decay"] == 0
    assert settings["first.weight"]["weight_decay"] == 0.1
    assert settings["first.weight"]["lr"] == old.wrapper.get_lr()["base_lr"][0] < 0.01  # still in the warm-up


def test_learning_rates_that_cannot_be_merged_are_named():
    cfg = config(None)
    cfg.paramwise_cfg.custom_keys["last.1"] = dict(lr_mult=0.5)
    old, new = Run(cfg), Run(config())
    old.steps(0, 1)
    with pytest.raises(ValueError, match=r"different values of lr .*: 0\.\d+, 0\.\d+; resume with .*paramwise_cfg"):
        merge_saved_groups(old.checkpoint(), new.wrapper.optimizer, new.model.parameters())
    with pytest.raises(ValueError, match=r"2 of the optimiser's 11 parameters are not among"):
        merge_saved_groups(Run(config(None)).checkpoint(), new.wrapper.optimizer, list(new.model.parameters())[:-2])


def test_a_key_of_no_parameter_is_named():
    cfg = config()
    cfg.paramwise_cfg.custom_keys["decoder.last"] = dict(lr_mult=0.5)
    with pytest.raises(InputError, match=r"custom_keys has 'decoder\.last', which is part of no .* such as last\.0\."):
        Run(cfg)
