"""Stacks that become plain stages: exactly where the ranks allow it, else as near as they can."""

from __future__ import annotations

import pytest
import torch
from references.small import adamixer_decoder, lors_decoder, randomise
from torch import nn

from lors_det.lors import AdaptiveResidual, SharedStack, StaticResidual, static

FULL = dict(adaptive_rank=8, adaptive_groups=(1, 1, 2), static_rank=16)
"""Kernels of 8 x 8 and 8 x 4, and weights of at most 16 rows."""


def far(left, right) -> float:
    return max(
        (one - other).abs().max().item()
        for stage, wanted in zip(left, right)
        for one, other in zip(stage.parameters(), wanted.parameters())
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"share": (0, 1, 0)},
        {"share": (None, 0, None)},
        {"layer_rank": 16},
        {"residual_scale": 0.5},
        {"residual_gain": True},
    ],
    ids=str,
)
def test_at_full_rank_it_is_exact(changes):
    """Whatever the stack was before, its gains among it."""
    plain = randomise(adamixer_decoder()).double().stack
    stack = randomise(lors_decoder(**{**FULL, **changes})).double().stack
    stack.fit(plain.stages)
    assert far(stack.fold(), plain.stages) < 1e-12


def test_higher_ranks_are_nearer():
    plain = randomise(adamixer_decoder()).double()
    errors = []
    for rank in (1, 2, 4, 8):
        decoder = lors_decoder(adaptive_rank=rank, static_rank=2 * rank).double()
        decoder.stack.fit(plain.stack.stages)
        folded, wanted = decoder.folded_state(), plain.state_dict()
        errors.append(sum((folded[name] - wanted[name]).square().sum().item() for name in wanted))
    assert errors[0] > errors[1] > errors[2] > errors[3]


def test_a_static_residual_is_the_nearest_of_its_rank():
    """What is left is the singular values beyond it."""
    correction = torch.randn(9, 7, dtype=torch.float64)
    residual = StaticResidual(correction.shape, rank=2, num_groups=2).double()
    residual.fit(correction)
    left = (residual(torch.zeros_like(correction))[0] - correction).square().sum()
    torch.testing.assert_close(left, torch.linalg.svdvals(correction)[4:].square().sum())


def test_an_adaptive_residual_finds_what_has_its_form():
    """Kernels that are left E(q) right of rank 2, whatever the factors were."""
    made, found = (AdaptiveResidual(6, (5, 4), num_groups=2, rank=2, num_residuals=1).double() for _ in range(2))
    randomise(made)
    base = torch.zeros(40, 6, dtype=torch.float64), torch.zeros(40, dtype=torch.float64)
    wanted = made(*base)
    found.fit(*wanted)
    for one, other in zip(found(*base), wanted):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_base_becomes_the_mean_and_what_is_private_is_copied():
    plain, decoder = randomise(adamixer_decoder()), lors_decoder(share=(0, 1, 0))
    decoder.stack.fit(plain.stack.stages)
    weights = [stage.get_parameter("mixing.out.weight") for stage in plain.stack.stages]
    torch.testing.assert_close(decoder.stack.bases[0].get_parameter("mixing.out.weight"), (weights[0] + weights[2]) / 2)
    torch.testing.assert_close(decoder.stack.bases[1].get_parameter("mixing.out.weight"), weights[1])
    for own, stage in zip(decoder.stack.stages, plain.stack.stages):
        assert torch.equal(own.classify[3].weight, stage.classify[3].weight)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        (lambda: nn.Linear(4, 1), "weight is 1 x 4 in plain stage 0, and 4 x 4 in the stack"),
        (lambda: nn.Linear(4, 4, bias=False), "bias is none in plain stage 0, and 4 in the stack"),
        (lambda: nn.Bilinear(4, 4, 4), "weight is 4 x 4 x 4 in plain stage 0"),
    ],
    ids=["shape", "missing", "kind"],
)
def test_stages_of_another_shape_are_named_and_change_nothing(plain, words):
    stack = SharedStack([nn.Linear(4, 4) for _ in range(2)], share=(0, 0), residuals={"weight": static(rank=1)})
    before = {name: value.clone() for name, value in stack.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        stack.fit([plain() for _ in range(2)])
    for name, value in stack.state_dict().items():
        assert torch.equal(value, before[name])


def test_another_number_of_stages_is_named():
    with pytest.raises(ValueError, match="2 plain stages came to a stack of 3"):
        lors_decoder().stack.fit(adamixer_decoder(share=(0, 1)).stack.stages)
