"""A stack as plain stages, which share nothing; and the way back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from lors_det.lors.naming import find, parameter_of, put, value_of
from lors_det.lors.needs_stack import need_no_more
from lors_det.lors.residual import Residual
from lors_det.lors.shapes import in_words

if TYPE_CHECKING:
    from lors_det.lors.stack import SharedStack


def fold(stack: SharedStack) -> nn.ModuleList:
    """Plain stages that compute the same, each with all of its weights: copies, which share nothing.

    A weight is frozen where its base and its residual are.
    """
    stages = nn.ModuleList(copy.deepcopy(stage) for stage in stack.stages)
    for number, (stage, weights) in enumerate(zip(stages, stack.corrected())):
        learns = {each: _learns(stack, number, name, each) for name, names in stack.names.items() for each in names}
        for name, weight in weights.items():
            put(stage, name, nn.Parameter(weight.detach().clone(), requires_grad=learns[name]))
        need_no_more(stage)
    return stages


def _learns(stack: SharedStack, number: int, shared: str, name: str) -> bool:
    """Whether a stage's parameter gets gradients, by its base or by the residual of the name that it belongs to."""
    base, residual = stack.share[number], find(stack.residuals[number], shared)
    of_residual = residual.parameters() if isinstance(residual, Residual) else ()
    of_base = () if base is None else (value_of(stack.bases[base], name),)
    return any(parameter.requires_grad for parameter in (*of_base, *of_residual))


@torch.no_grad()
def fit(stack: SharedStack, stages: Sequence[nn.Module]) -> None:
    """Become as near to plain stages as the ranks allow: the way back of :func:`fold`.

    A base becomes the mean of its users' weights, a residual what is left of its stage's, as its rank allows; what
    is private is copied.

    Args:
        stack: what is written into.
        stages: S plain ones, of the same kind.

    Raises:
        ValueError: if their number, or a shape in them, is another; after any error the stack is as it was.
    """
    _check_plain(stack, stages)
    before = {name: value.clone() for name, value in stack.state_dict().items()}
    try:
        _write(stack, stages)
    except BaseException:
        stack.load_state_dict(before)
        raise


def _write(stack: SharedStack, stages: Sequence[nn.Module]) -> None:
    for number, tree in enumerate(stack.bases):
        users = [stage for stage, used in zip(stages, stack.share) if used == number]
        for name, parameter in tree.named_parameters():
            parameter.copy_(torch.stack([parameter_of(stage, name) for stage in users]).mean(dim=0))
    for number, (own, stage) in enumerate(zip(stack.stages, stages)):
        private = own.state_dict().keys()
        own.load_state_dict({name: value for name, value in stage.state_dict().items() if name in private})
        base = stack.share[number]
        for name, names in stack.names.items():
            residual = find(stack.residuals[number], name)
            if isinstance(residual, Residual):
                wanted = [parameter_of(stage, each).detach() for each in names]
                if base is not None:
                    wanted = [whole - value_of(stack.bases[base], each) for whole, each in zip(wanted, names)]
                residual.fit(*wanted)


def _check_plain(stack: SharedStack, stages: Sequence[nn.Module]) -> None:
    if len(stages) != len(stack):
        raise ValueError(f"{len(stages)} plain stages came to a stack of {len(stack)}")
    for number, (own, stage) in enumerate(zip(fold(stack), stages)):
        here, there = _shapes(own), _shapes(stage)
        for name in (*here, *there):
            if here.get(name) != there.get(name):
                found, expected = (in_words([each[name]]) if name in each else "none" for each in (there, here))
                raise ValueError(f"{name} is {found} in plain stage {number}, and {expected} in the stack")


def _shapes(stage: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in stage.state_dict().items()}
