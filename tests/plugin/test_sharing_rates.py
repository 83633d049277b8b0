"""Learning rates of bases and residuals: of which parameter, by how much, and beside the other rules."""

from __future__ import annotations

import math
from typing import Any

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper
from references.small import VARIANTS, adamixer_decoder, lors_decoder
from torch import nn

from lors_det.adamixer import Decoder
from lors_det.errors import InputError
from lors_det.plugin.config.keys import check_keys

LR, DECAY = 0.01, 0.1


class Detector(nn.Module):
    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.backbone = nn.Linear(3, 3)
        self.decoder = decoder


def settings(model: nn.Module, **paramwise: Any) -> dict[str, tuple[float, float]]:
    wrapper: OptimWrapper = build_optim_wrapper(
        model,
        ConfigDict(
            type="OptimWrapper",
            constructor="MergedOptimWrapperConstructor",
            optimizer=dict(type="AdamW", lr=LR, weight_decay=DECAY),
            paramwise_cfg=paramwise,
        ),
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    found = [(names[id(p)], (group["lr"], group["weight_decay"])) for group in groups for p in group["params"]]
    assert len(found) == len(dict(found)) == len(names)
    return dict(found)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(
    ("rule", "of"),
    [("1", lambda u: 1), ("1/users", lambda u: 1 / u), ("1/sqrt(users)", lambda u: u**-0.5), (0.3, lambda u: 0.3)],
)
def test_each_base_has_the_rate_of_its_users(name, rule, of):
    decoder = lors_decoder(**VARIANTS[name])
    values = dict(base_lr=rule) if any(base is not None for base in decoder.spec.share) else {}
    if name != "shared-only":
        values |= dict(residual_lr=2.0, residual_decay=0.0)
    found = settings(Detector(decoder), sharing=values)
    assert found
    for parameter, (rate, decay) in found.items():
        _, _, part = parameter.partition("decoder.stack.")
        if part.startswith("bases."):
            users = decoder.stack.share.count(int(part.split(".")[1]))
            assert rate == pytest.approx(LR * of(users), rel=1e-12), parameter
            assert decay == DECAY
        elif part.startswith("residuals."):
            assert (rate, decay) == (LR * 2, 0)
        else:
            assert (rate, decay) == (LR, DECAY)


def test_it_multiplies_what_the_other_keys_give():
    keys = {"decoder": dict(lr_mult=0.1, decay_mult=0.5), "decoder.stack.bases": dict(lr_mult=3.0)}
    model = Detector(lors_decoder())
    plain = settings(model, custom_keys=keys, bias_lr_mult=2.0)
    shared = settings(model, custom_keys=keys, bias_lr_mult=2.0, sharing=dict(base_lr="1/users", residual_decay=0.5))
    for name, (rate, decay) in shared.items():
        users, halved = (3 if ".bases." in name else 1), (0.5 if ".residuals." in name else 1)
        assert math.isclose(rate, plain[name][0] / users)
        assert math.isclose(decay, plain[name][1] * halved)


@pytest.mark.parametrize(
    ("changes", "sharing", "words"),
    [
        (VARIANTS["shared-only"], dict(residual_lr=2.0), "sharing.residual_lr is set, but the model has no residuals"),
        (VARIANTS["shared-only"], dict(residual_decay=0), "sharing.residual_decay is set, but .* no residuals"),
        (VARIANTS["private-only"], dict(base_lr=0.5), "sharing.base_lr is set, but the model has no bases"),
        (dict(share=(0, 1, 2)), dict(base_lr="1/users"), "sharing.base_lr is '1/users', but each base has one user"),
    ],
)
def test_what_would_be_read_by_nothing_is_refused(changes, sharing, words):
    with pytest.raises(InputError, match=words):
        settings(Detector(lors_decoder(**changes)), sharing=sharing)


def test_decay_is_scaled_only_where_the_config_says_what_it_is():
    """AdamW has one of its own, which the config does not show."""
    cfg = ConfigDict(
        type="OptimWrapper",
        constructor="MergedOptimWrapperConstructor",
        optimizer=dict(type="AdamW", lr=LR),
        paramwise_cfg=dict(sharing=dict(residual_decay=0.0)),
    )
    with pytest.raises(InputError, match=r"residual_decay needs optim_wrapper\.optimizer\.weight_decay"):
        build_optim_wrapper(Detector(lors_decoder()), cfg)


def test_an_optimiser_without_decay_gets_none():
    wrapper = build_optim_wrapper(
        Detector(lors_decoder()),
        ConfigDict(
            type="OptimWrapper",
            constructor="MergedOptimWrapperConstructor",
            optimizer=dict(type="SGD", lr=LR),
            paramwise_cfg=dict(sharing=dict(base_lr=0.5)),
        ),
    )
    assert sorted({group["lr"] for group in wrapper.optimizer.param_groups}) == [LR / 2, LR]
    assert {group["weight_decay"] for group in wrapper.optimizer.param_groups} == {0}


@pytest.mark.parametrize(
    ("sharing", "words"),
    [
        (dict(base_rate=1), r"sharing has base_rate; it takes base_lr, residual_lr, residual_decay"),
        (dict(base_lr="1/stages"), r"sharing\.base_lr is '1/stages'.*'1/users'"),
        (dict(base_lr=-1), r"base_lr is -1"),
        (dict(residual_lr=True), r"residual_lr is True"),
        (dict(residual_decay=math.inf), r"residual_decay is inf"),
    ],
)
def test_a_setting_that_is_none_is_named(sharing, words):
    with pytest.raises(InputError, match=words):
        settings(Detector(lors_decoder()), sharing=sharing)


def test_a_model_that_shares_nothing_has_no_use_for_it():
    with pytest.raises(InputError, match="no stages of the model share weights; leave it out"):
        settings(Detector(adamixer_decoder()), sharing=dict(base_lr=0.5))


def test_the_key_is_known():
    wrapper = dict(
        constructor="MergedOptimWrapperConstructor",
        optimizer=dict(type="AdamW", lr=LR),
        paramwise_cfg=dict(sharing=dict(base_lr=0.5)),
    )
    check_keys(Config(dict(optim_wrapper=wrapper)))
