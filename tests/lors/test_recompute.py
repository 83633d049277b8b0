"""Stages whose activations are computed again learn as those whose activations are kept, statistics of norms too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from lors_det.lors import SharedStack, static

EXACT = dict(rtol=1e-12, atol=1e-12)


def stack_of(norm: Callable[[], nn.Module]) -> SharedStack:
    """Three stages of two layers, whose first is shared; each has norms of its own."""
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Linear(6, 6), norm(), nn.Linear(6, 6)) for _ in range(3)]
    stack = SharedStack(stages, share=(0, 0, 0), residuals={"0.weight": static(rank=2)})
    return stack.double().train()


@pytest.mark.parametrize(
    "norm", [partial(nn.BatchNorm1d, 6), partial(nn.BatchNorm1d, 6, momentum=None), partial(nn.LayerNorm, 6)]
)
def test_what_is_recomputed_learns_as_what_is_kept(norm):
    kept, recomputed = stack_of(norm), stack_of(norm)
    recomputed.recompute = True
    torch.manual_seed(1)
    for _ in range(2):
        x = torch.randn(5, 6, dtype=torch.float64)
        for stack in (kept, recomputed):
            stack(x).square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in recomputed.named_parameters()}
    for name, parameter in kept.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, **EXACT, msg=name)
    torch.testing.assert_close(recomputed.state_dict(), kept.state_dict(), **EXACT)


class Doubling(nn.Linear):
    """Takes a keyword that torch's checkpoint has too."""

    def forward(self, x: torch.Tensor, debug: bool = False) -> torch.Tensor:
        return super().forward(x) * (2 if debug else 1)


def test_keywords_are_the_stages():
    stack = SharedStack([Doubling(3, 3) for _ in range(2)], share=(0, 0), residuals={"weight": static(rank=1)})
    x = torch.randn(2, 3)
    expected = stack[1](x, debug=True)
    stack.recompute = True
    assert torch.equal(stack[1](x, debug=True), expected)
