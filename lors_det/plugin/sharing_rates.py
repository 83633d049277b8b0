"""Learning rates of weights that stages share, and of their private residuals.

A step on a base is a step of all its users. AdamW moves a weight by about its learning rate, however large the
gradient, so scaling gradients changes nothing: it is the rate that has to follow the number U of users. Along the
common step v of the users' weights, the loss has as slope the sum of v' g_i, and as curvature the sum of v' H_ij v over
pairs of users; the best step is slope / curvature. Where users agree, the slope is U times one user's. Where they do
not interact (H_ij = 0), so is the curvature, and the best step is what it is without sharing: "1". Where they interact
as strongly as a weight with itself, as stages that repeat each other, the curvature is U^2 times one user's, and the
best step 1/U of it: "1/users". Where users do not interact and their gradients have random signs, the slope is about
sqrt(U) times one user's, the curvature U times: "1/sqrt(users)". Which of them holds is a question for experiments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from lors_det.errors import InputError
from lors_det.lors import SharedStack

_KEY = "optim_wrapper.paramwise_cfg.sharing"
_EXPONENTS = {"1": 0.0, "1/sqrt(users)": -0.5, "1/users": -1.0}
"""Rules: U to this power."""


class Scale(NamedTuple):
    """What a parameter's settings are multiplied by."""

    lr: float
    weight_decay: float


def sharing_scales(model: nn.Module, settings: Mapping[str, Any]) -> dict[str, Scale]:
    """Scales of the bases and residuals of every :class:`lors_det.lors.SharedStack` of a model.

    Args:
        model: a detector.
        settings: ``base_lr``, a number, "1/users" or "1/sqrt(users)"; ``residual_lr`` and ``residual_decay``, numbers.
            Each is 1 where it is not given.

    Returns:
        Scales by the parameter's name in the model; what is not named has 1.

    Raises:
        InputError: if a setting is unknown or of another kind, or the model has nothing that it is for.
    """
    known = ("base_lr", "residual_lr", "residual_decay")
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise InputError(f"config key {_KEY} has {', '.join(unknown)}; it takes {', '.join(known)}")
    base_lr = settings.get("base_lr", 1)
    exponent = _EXPONENTS.get(base_lr) if isinstance(base_lr, str) else None
    factor = 1.0
    if exponent is None:
        exponent, factor = 0.0, _number(base_lr, "base_lr", words=f", or one of {', '.join(map(repr, _EXPONENTS))}")
    residual = Scale(*(_number(settings.get(name, 1), name) for name in known[1:]))
    users: set[int] = set()
    scales: dict[str, Scale] = {}
    for prefix, stack in model.named_modules():
        if not isinstance(stack, SharedStack):
            continue
        start = f"{prefix}." if prefix else ""
        for number, base in enumerate(stack.bases):
            num_users = stack.share.count(number)
            users.add(num_users)
            lr = factor * num_users**exponent
            scales.update((f"{start}bases.{number}.{name}", Scale(lr, 1.0)) for name, _ in base.named_parameters())
        scales.update((f"{start}residuals.{name}", residual) for name, _ in stack.residuals.named_parameters())
    if not scales:
        raise InputError(f"config key {_KEY} is set, but no stages of the model share weights; leave it out")
    if exponent and users == {1}:
        raise InputError(f"config key {_KEY}.base_lr is {base_lr!r}, but each base has one user; leave it out")
    for setting in settings:
        part = "bases" if setting == "base_lr" else "residuals"
        if not any(f"{part}." in name for name in scales):
            raise InputError(f"config key {_KEY}.{setting} is set, but the model has no {part}; leave it out")
    return scales


def _number(value: Any, name: str, words: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise InputError(f"config key {_KEY}.{name} is {value!r}; it must be a number from 0 on{words}")
    return float(value)
