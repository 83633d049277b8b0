"""Checkpoints of version 0.1.0 are evaluated, fine-tuned and resumed as what they are.

Their names and order are those that this version's own code wrote, see ``references/first_version.py``; that the names
mean the right weights, ``adamixer/test_first_version.py`` shows.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from references.first_version import FILE
from references.tiny import ADAMIXER, LORS, tiny_config
from references.tiny import runner_of as runner_of_config
from torch import Tensor

from lors_det.adamixer import DecoderSpec
from lors_det.adamixer.first_version import current_name
from lors_det.errors import InputError

WRITTEN = json.loads(FILE.read_text())["models"]
CONFIGS = {"lors": LORS, "adamixer": ADAMIXER}
DECODER = "bbox_head.decoder."
SINGLE_GROUPS = {"optim_wrapper.paramwise_cfg": dict(norm_decay_mult=0.0)}
MERGED = {"optim_wrapper.constructor": "MergedOptimWrapperConstructor"}
AVERAGE = {"custom_hooks": [dict(type="EMAHook", momentum=0.3)]}


def runner_of(data: Path, folder: Path, model: str, **options: object) -> Runner:
    """Of two epochs, the same each time: on a GPU too, where gradients are else added up in an order that changes."""
    same = {"randomness": dict(seed=0, deterministic=True), "train_cfg.max_epochs": 2, "train_cfg.val_interval": 2}
    cfg = tiny_config(data, folder, CONFIGS[model], **{**same, **options})
    return runner_of_config(cfg)


@cache
def spec_of(model: str, folder: Path, data: Path) -> DecoderSpec:
    return DecoderSpec(**tiny_config(data, folder, CONFIGS[model]).model.bbox_head.decoder)


def todays_name(name: str, model: str, folder: Path, data: Path) -> str:
    spec = spec_of(model, folder, data)
    return DECODER + current_name(name.removeprefix(DECODER), spec) if name.startswith(DECODER) else name


def as_first_version(checkpoint: dict[str, Any], model: str, data: Path, folder: Path) -> dict[str, Any]:
    """The same checkpoint as that version would have written it."""
    today = [name for name, _ in MODELS.build(tiny_config(data, folder, CONFIGS[model]).model).named_parameters()]
    state, parameters = WRITTEN[model]["state"], WRITTEN[model]["parameters"]
    names = {old: todays_name(old, model, folder, data) for old in state}
    assert sorted(names.values()) == sorted(checkpoint["state_dict"])
    assert [names[old] for old in parameters] != today, "nothing would have to be reordered"
    old = copy.deepcopy(checkpoint)
    old["meta"].pop("config_data", None)
    old["meta"]["cfg"] = tiny_config(data, folder, CONFIGS[model]).pretty_text  # it was text then
    old["state_dict"] = {name: checkpoint["state_dict"][names[name]] for name in state}
    if "ema_state_dict" in checkpoint:
        average = checkpoint["ema_state_dict"]
        extra = {name: value for name, value in average.items() if not name.startswith("module.")}
        old["ema_state_dict"] = {**extra, **{f"module.{name}": average[f"module.{names[name]}"] for name in state}}
    place = {name: index for index, name in enumerate(today)}
    order = [place[names[name]] for name in parameters]
    optimizer = checkpoint["optimizer"]
    old["optimizer"]["state"] = {
        new: optimizer["state"][index] for new, index in enumerate(order) if index in optimizer["state"]
    }
    groups = optimizer["param_groups"]
    if len(groups) > 1:
        old["optimizer"]["param_groups"] = [{**groups[index], "params": [new]} for new, index in enumerate(order)]
    return old


def write_both(data: Path, folder: Path, model: str, **options: object) -> dict[str, Any]:
    """A checkpoint after one of two epochs, ``epoch_1.pth``, and the same of 0.1.0, ``old.pth``."""
    runner = runner_of(data, folder, model, **{**options, "train_cfg.max_epochs": 1})
    runner.train()
    checkpoint = torch.load(folder / "epoch_1.pth", weights_only=True)
    torch.save(as_first_version(checkpoint, model, data, folder), folder / "old.pth")
    return checkpoint


@pytest.fixture(scope="module", params=CONFIGS)
def model(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def trained(data, model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(model)
    write_both(data, folder, model)
    return folder


def weights_of(runner: Runner) -> dict[str, Tensor]:
    return {name: value.cpu().clone() for name, value in runner.model.state_dict().items()}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_it_is_evaluated(data, model, trained, tmp_path):
    results = []
    for file in ("old.pth", "epoch_1.pth"):
        runner = runner_of(data, tmp_path, model, load_from=str(trained / file))
        runner.test()
        results.append(weights_of(runner))
    assert_same(*results)
    assert_same(results[0], torch.load(trained / "epoch_1.pth", weights_only=True)["state_dict"])


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "wrapped"])
def test_its_weights_alone_are_evaluated(data, model, trained, tmp_path, wrapped):
    state = torch.load(trained / "old.pth", weights_only=True)["state_dict"]
    torch.save({f"module.{name}" if wrapped else name: value for name, value in state.items()}, tmp_path / "alone.pth")
    runner = runner_of(data, tmp_path, model, load_from=str(tmp_path / "alone.pth"))
    runner.test()
    assert_same(weights_of(runner), torch.load(trained / "epoch_1.pth", weights_only=True)["state_dict"])


def test_it_is_fine_tuned(data, model, trained, tmp_path):
    """Of the weights that fit, with another number of queries."""
    runs = []
    for file in ("old.pth", "epoch_1.pth"):
        options = {"load_from": str(trained / file), "model.bbox_head.num_queries": 5, "train_cfg.max_epochs": 1}
        runner = runner_of(data, tmp_path / file, model, **options)
        runner.train()
        runs.append(weights_of(runner))
    assert_same(*runs)


def resumed(data: Path, folder: Path, model: str, file: Path, **options: object) -> Runner:
    runner = runner_of(data, folder, model, load_from=str(file), resume=True, **options)
    runner.train()
    assert runner.iter == 4
    return runner


def assert_resumes_alike(data: Path, trained: Path, folder: Path, model: str, **options: object) -> Runner:
    """A run of the old file and one that never had other names end with the same weights and the same optimiser."""
    runners = [
        resumed(data, folder / "run" / file, model, trained / file, **options) for file in ("old.pth", "epoch_1.pth")
    ]
    assert_same(*map(weights_of, runners))
    states = [runner.optim_wrapper.optimizer.state_dict() for runner in runners]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    assert states[0]["state"].keys() == states[1]["state"].keys()
    for index, state in states[0]["state"].items():
        assert all(torch.equal(value, states[1]["state"][index][name]) for name, value in state.items())
    return runners[0]


def test_it_is_resumed(data, model, trained, tmp_path):
    assert_resumes_alike(data, trained, tmp_path, model)


@pytest.mark.parametrize("merged", [False, True], ids=["single", "merged"])
def test_it_is_resumed_where_each_parameter_has_a_group(data, model, tmp_path, merged):
    write_both(data, tmp_path, model, **SINGLE_GROUPS)
    runner = assert_resumes_alike(data, tmp_path, tmp_path, model, **SINGLE_GROUPS, **(MERGED if merged else {}))
    decays = {group["weight_decay"] for group in runner.optim_wrapper.optimizer.param_groups}
    assert decays == {0, 0.01}


def test_its_average_of_the_weights_is_resumed(data, model, tmp_path):
    write_both(data, tmp_path, model, **AVERAGE)
    averages = []
    for file in ("old.pth", "epoch_1.pth"):
        runner = resumed(data, tmp_path / "run" / file, model, tmp_path / file, **AVERAGE)
        (average,) = (hook.ema_model.state_dict() for hook in runner.hooks if isinstance(hook, EMAHook))
        averages.append({**{name: value.cpu() for name, value in average.items()}, **weights_of(runner)})
    assert_same(*averages)


def test_an_optimiser_that_does_not_tell_its_parameters_is_refused(data, model, trained, tmp_path):
    checkpoint = torch.load(trained / "old.pth", weights_only=True)
    groups = checkpoint["optimizer"]["param_groups"]
    first, rest = groups[0]["params"][:7], groups[0]["params"][7:]
    checkpoint["optimizer"]["param_groups"] = [{**groups[0], "params": first}, {**groups[0], "params": rest}]
    torch.save(checkpoint, tmp_path / "grouped.pth")
    with pytest.raises(InputError, match=r"does not tell which parameter .* load_from=CHECKPOINT"):
        resumed(data, tmp_path / "run", model, tmp_path / "grouped.pth")
