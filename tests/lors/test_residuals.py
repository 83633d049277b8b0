"""Residuals: zero at the start, folded exactly, initialised as published."""

from __future__ import annotations

import math

import pytest
import torch
from references.small import randomise
from torch import nn

from lors_det.lors import AdaptiveResidual, StaticResidual

D, G, ROWS, COLUMNS = 6, 2, 5, 4


def adaptive(**changes) -> AdaptiveResidual:
    return AdaptiveResidual(D, (ROWS, COLUMNS), **{"num_groups": G, "rank": 3, "num_residuals": 2, **changes})


def generate(query, base):
    return base(query).unflatten(-1, (G, ROWS, COLUMNS))


@pytest.mark.parametrize("num_queries", [D, D + 1], ids=["per-query", "folded"])
def test_adaptive_is_the_sum_of_the_paper(num_queries):
    base = randomise(nn.Linear(D, G * ROWS * COLUMNS)).double()
    residual = randomise(adaptive()).double()
    query = torch.randn(num_queries, D, dtype=torch.float64)
    core = residual.core(query).view(num_queries, G, 2, 3, 3)
    expected = generate(query, base)
    for q in range(num_queries):
        for g in range(G):
            for k in range(2):
                expected[q, g] += residual.left[g, k] @ core[q, g, k] @ residual.right[g, k]
    torch.testing.assert_close(residual(query, base), expected)


def test_adaptive_folds_exactly():
    base = randomise(nn.Linear(D, G * ROWS * COLUMNS)).double()
    residual = randomise(adaptive()).double()
    few, many = (torch.randn(n, D, dtype=torch.float64, requires_grad=True) for n in (3, 30))
    weight, bias = residual.fold(base)
    for query in (few, many):
        direction = torch.randn(len(query), G, ROWS, COLUMNS, dtype=torch.float64)
        kernels = residual(query, base)
        folded = nn.functional.linear(query, weight, bias).view_as(kernels)
        torch.testing.assert_close(kernels, folded, rtol=1e-12, atol=1e-12)
        gradients = [torch.autograd.grad(out, query, direction, retain_graph=True)[0] for out in (kernels, folded)]
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_both_paths_give_the_same_parameter_gradients():
    base = randomise(nn.Linear(D, G * ROWS * COLUMNS)).double()
    residual = randomise(adaptive()).double()
    query = torch.randn(D + 1, D, dtype=torch.float64)
    direction = torch.randn(D + 1, G, ROWS, COLUMNS, dtype=torch.float64)
    parameters = [*residual.parameters(), *base.parameters()]
    together = torch.autograd.grad(residual(query, base), parameters, direction)
    one_by_one = torch.autograd.grad(
        torch.cat([residual(query[i : i + 1], base) for i in range(len(query))]), parameters, direction
    )
    for left, right in zip(together, one_by_one):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def test_static_is_the_corrected_weight_and_folds():
    base = nn.Linear(7, 5, bias=False).double()
    residual = randomise(StaticResidual(7, 5, rank=2, num_groups=3)).double()
    x = torch.randn(4, 7, dtype=torch.float64)
    expected = x @ (base.weight + residual.up @ residual.down).t() + residual.bias
    torch.testing.assert_close(residual(x, base), expected)
    torch.testing.assert_close(nn.functional.linear(x, *residual.fold(base)), expected)
    assert residual.down.shape == (6, 7)


def test_residuals_start_at_zero():
    generator, projection = nn.Linear(D, G * ROWS * COLUMNS), nn.Linear(7, 5, bias=False)
    for num_queries in (2, 20):
        query = torch.randn(num_queries, D)
        assert torch.equal(adaptive()(query, generator), generate(query, generator))
    x = torch.randn(3, 7)
    assert torch.equal(StaticResidual(7, 5, rank=2)(x, projection), projection(x))


@pytest.mark.parametrize("factor_init", ["stacked", "matrix"])
def test_an_adaptive_residual_alone_starts_like_a_generator(factor_init):
    """Kernels that no query changes, as loud as those of a linear layer with zero weight and torch's bias."""
    residual = AdaptiveResidual(
        48, (64, 32), num_groups=4, rank=8, num_residuals=3, factor_init=factor_init, alone=True
    )
    kernels = residual(torch.randn(5, 48), None)
    assert torch.equal(kernels[0], kernels[1])
    assert kernels[0].std().item() == pytest.approx(1 / math.sqrt(3 * 48), rel=0.1)
    weight, bias = residual.fold(None)
    assert not weight.any()
    torch.testing.assert_close(bias.view(4, 64, 32), kernels[0])


def test_a_static_residual_alone_starts_like_xavier():
    residual = StaticResidual(300, 200, rank=4, num_groups=4, alone=True)
    weight, bias = residual.fold(None)
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (300 + 200)), rel=0.1)
    assert not bias.any()
    x = torch.randn(3, 300)
    torch.testing.assert_close(residual(x, None), x @ weight.t(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("factor_init", "fan_in"), [("stacked", 32 * 8), ("matrix", 8)])
def test_factors_start_as_published(factor_init, fan_in):
    left = AdaptiveResidual(8, (32, 4), num_groups=4, rank=8, num_residuals=3, factor_init=factor_init).left
    bound = math.sqrt(6 / fan_in)
    assert left.abs().max() <= bound
    assert left.abs().max() > 0.99 * bound
    assert left.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    if factor_init == "stacked":
        stacked = torch.empty(12, 32, 8)
        nn.init.kaiming_uniform_(stacked)
        assert left.std().item() == pytest.approx(stacked.std().item(), rel=0.05)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"num_residuals": 0}, {"factor_init": "other"}])
def test_bad_arguments_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        adaptive(**wrong)
