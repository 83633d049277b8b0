"""Residuals: zero at the start, the paper's sums, initialised as published."""

from __future__ import annotations

import math

import pytest
import torch
from references.small import randomise
from torch import nn

from lors_det.lors import AdaptiveResidual, Residual, StaticResidual, adaptive, static

D, G, K, R, ROWS, COLUMNS = 6, 2, 2, 3, 5, 4
EXACT = dict(rtol=1e-12, atol=1e-12)


def make_adaptive(**changes) -> AdaptiveResidual:
    return AdaptiveResidual(D, (ROWS, COLUMNS), **{"num_groups": G, "rank": R, "num_residuals": K, **changes})


def make_static(**changes) -> StaticResidual:
    return StaticResidual(torch.Size((5, 7)), **{"rank": 2, "num_groups": 3, **changes})


def generator() -> nn.Linear:
    return nn.Linear(D, G * ROWS * COLUMNS)


def generate(query, weight, bias):
    """Kernels (Q, G, rows, columns)."""
    return nn.functional.linear(query, weight, bias).unflatten(-1, (G, ROWS, COLUMNS))


def paper_sum(residual, query):
    """What a query adds to its kernels, each by itself: sum over k of left E(q) right."""
    core = residual.core(query).view(len(query), G, K, R, R)
    kernels = [
        sum(residual.left[g, k] @ core[q, g, k] @ residual.right[g, k] for k in range(K))
        for q in range(len(query))
        for g in range(G)
    ]
    return torch.stack(kernels).view(len(query), G, ROWS, COLUMNS)


@pytest.mark.parametrize("alone", [False, True])
def test_adaptive_is_the_sum_of_the_paper(alone):
    """Kernels, and gradients of the query and of every parameter."""
    base, residual = randomise(generator()).double(), randomise(make_adaptive(alone=alone)).double()
    query = torch.randn(4, D, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(4, G, ROWS, COLUMNS, dtype=torch.float64)
    expected = paper_sum(residual, query)
    if alone:
        kernels = generate(query, *residual(None, None))
    else:
        expected = expected + generate(query, base.weight, base.bias)
        kernels = generate(query, *residual(base.weight, base.bias))
    torch.testing.assert_close(kernels, expected, **EXACT)
    leaves = [query, *residual.parameters(), *([] if alone else base.parameters())]
    assert len(leaves) == (5 if alone else 7)
    for got, wanted in zip(
        torch.autograd.grad(kernels, leaves, direction), torch.autograd.grad(expected, leaves, direction)
    ):
        torch.testing.assert_close(got, wanted, **EXACT)


@pytest.mark.parametrize("alone", [False, True])
def test_static_is_the_sum_of_the_paper(alone):
    """W + sum over k of B_k A_k, and its gradients."""
    base, residual = nn.Linear(7, 5).weight.double().detach().requires_grad_(), randomise(make_static()).double()
    groups = zip(residual.up.split(2, dim=1), residual.down.split(2))
    expected = sum(up @ down for up, down in groups)
    if not alone:
        expected = expected + base
    (weight,) = residual(None if alone else base)
    torch.testing.assert_close(weight, expected, **EXACT)
    leaves = [residual.up, residual.down, *([] if alone else [base])]
    direction = torch.randn(5, 7, dtype=torch.float64)
    for got, wanted in zip(
        torch.autograd.grad(weight, leaves, direction), torch.autograd.grad(expected, leaves, direction)
    ):
        torch.testing.assert_close(got, wanted, **EXACT)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("gain", [False, True])
def test_a_scale_and_gains(alone, gain):
    """Against residuals without them: the product times the scale, and each row of the base times one more number."""
    base = randomise(generator()).double()
    plain, scaled = (
        randomise(make_adaptive(alone=alone, **values)).double() for values in ({}, {"scale": 3.0, "gain": gain})
    )
    scaled.load_state_dict(plain.state_dict(), strict=not gain or alone)
    query = torch.randn(4, D, dtype=torch.float64)
    expected = 3 * paper_sum(plain, query)
    if not alone:
        rows = 1 + (scaled.gain if gain else torch.zeros(G, ROWS))
        expected = expected + rows[:, :, None] * generate(query, base.weight, base.bias)
    kernels = generate(query, *(scaled(None, None) if alone else scaled(base.weight, base.bias)))
    torch.testing.assert_close(kernels, expected, **EXACT)

    weight = torch.randn(5, 7, dtype=torch.float64)
    static_one = randomise(make_static(alone=alone, scale=3.0, gain=gain)).double()
    rows = 1 + (static_one.gain if gain and not alone else torch.zeros(5))
    expected = 3 * static_one.up @ static_one.down + (0 if alone else rows[:, None] * weight)
    torch.testing.assert_close(static_one(None if alone else weight)[0], expected, **EXACT)


def test_gains_start_at_zero_and_alone_a_scale_keeps_the_start():
    weight = torch.randn(5, 7)
    assert torch.equal(make_static(gain=True, scale=2.0)(weight)[0], weight)
    base = generator()
    for corrected, own in zip(make_adaptive(gain=True, scale=2.0)(base.weight, base.bias), base.parameters()):
        assert torch.equal(corrected, own)
    alone = dict(num_groups=4, rank=8, num_residuals=3, alone=True)
    spreads = [AdaptiveResidual(48, (64, 32), **alone, scale=scale)(None, None)[1].std() for scale in (1.0, 5.0)]
    spreads += [StaticResidual(torch.Size((200, 300)), rank=8, alone=True, scale=s)(None)[0].std() for s in (1.0, 5.0)]
    assert spreads[1].item() == pytest.approx(spreads[0].item(), rel=0.1)
    assert spreads[3].item() == pytest.approx(spreads[2].item(), rel=0.1)


@pytest.mark.parametrize("scale", [0, -1.0, math.inf, True, "2", None])
def test_a_scale_that_is_none_is_named(scale):
    for make in (make_adaptive, make_static):
        with pytest.raises(ValueError, match=r"scale=.* of a residual; it must be a positive number"):
            make(scale=scale)


@pytest.mark.parametrize("scale", [1.0, 5.0])
@pytest.mark.parametrize("start", [0.5, 2.0])
def test_a_start_is_in_units_of_what_a_weight_of_its_own_starts_with(start, scale):
    """Measured over many kernels: uniform biases of 1 / sqrt(D), and Xavier's weights."""
    dim, values = 48, {"scale": scale, "start": start}
    residual = AdaptiveResidual(dim, (64, 32), num_groups=64, rank=8, num_residuals=3, **values)
    weight, bias = torch.randn(64 * 64 * 32, dim), torch.randn(64 * 64 * 32)
    corrected = residual(weight, bias)
    assert torch.equal(corrected[0], weight)  # the same for every query
    assert (corrected[1] - bias).std().item() == pytest.approx(start / math.sqrt(3 * dim), rel=0.1)
    weight = torch.zeros(600, 900)
    corrected = StaticResidual(weight.shape, rank=8, num_groups=2, **values)(weight)
    assert corrected[0].std().item() == pytest.approx(start * math.sqrt(2 / 1500), rel=0.1)


@pytest.mark.parametrize("start", [-0.5, math.nan, math.inf, True, "2", None])
def test_a_start_that_is_none_is_named(start):
    for make in (make_adaptive, make_static):
        with pytest.raises(ValueError, match=r"start=.* of a residual; it must be a number from 0 on"):
            make(start=start)


@pytest.mark.parametrize(("alone", "gain"), [(False, False), (False, True), (True, False)])
def test_a_convolution_is_corrected_as_a_matrix(alone, gain):
    conv = nn.Conv2d(6, 4, (3, 2), groups=2).double()
    options = dict(rank=2, alone=alone, gain=gain, scale=0.5, start=0.3)
    residual = randomise(StaticResidual(conv.weight.shape, **options)).double()
    assert residual.shapes == (conv.weight.shape,)
    assert residual.down.shape == (2, 3 * 3 * 2)
    (found,) = residual(None if alone else conv.weight)
    expected = 0.5 * torch.einsum("or,ri->oi", residual.up, residual.down).reshape(4, 3, 3, 2)
    if not alone:
        expected = expected + conv.weight * (1 + (residual.gain[:, None, None, None] if gain else 0))
    torch.testing.assert_close(found, expected, **EXACT)
    whole = StaticResidual(conv.weight.shape, rank=4, alone=alone).double()
    whole.fit(conv.weight.detach())
    torch.testing.assert_close(whole(None if alone else torch.zeros_like(conv.weight))[0], conv.weight, **EXACT)


def test_adaptive_starts_at_zero():
    base = generator()
    corrected = make_adaptive()(base.weight, base.bias)
    assert torch.equal(corrected[0], base.weight)
    assert torch.equal(corrected[1], base.bias)


def test_static_starts_at_zero():
    weight = torch.randn(5, 7)
    assert torch.equal(make_static()(weight)[0], weight)


def test_a_zero_residual_learns():
    """At the start a gradient reaches the factor that is zero, and after one step all of them."""
    for residual, base in ((make_adaptive(), list(generator().parameters())), (make_static(), [torch.randn(5, 7)])):
        zero = [parameter for parameter in residual.parameters() if not parameter.any()]
        for parameters in (zero, residual.parameters()):
            residual.zero_grad()
            sum(corrected.sin().sum() for corrected in residual(*base)).backward()
            assert all(parameter.grad.any() for parameter in parameters)
            with torch.no_grad():
                for parameter in zero:
                    parameter.sub_(parameter.grad)


@pytest.mark.parametrize("make", [make_adaptive, make_static])
@pytest.mark.parametrize("alone", [False, True])
def test_shapes_are_those_of_what_it_corrects(make, alone):
    residual = make(alone=alone)
    base = [None if alone else torch.randn(shape) for shape in residual.shapes]
    assert tuple(corrected.shape for corrected in residual(*base)) == residual.shapes
    assert isinstance(residual, Residual)


def test_shapes_of_the_factors():
    assert {name: tuple(value.shape) for name, value in make_adaptive().state_dict().items()} == {
        "left": (G, K, ROWS, R),
        "right": (G, K, R, COLUMNS),
        "core.weight": (G * K * R * R, D),
        "core.bias": (G * K * R * R,),
    }
    assert {name: tuple(value.shape) for name, value in make_static().state_dict().items()} == {
        "down": (6, 7),
        "up": (5, 6),
    }


@pytest.mark.parametrize("factor_init", ["stacked", "matrix"])
def test_adaptive_alone_starts_like_a_generator(factor_init):
    """Kernels that no query changes, as loud as those of a linear layer with zero weight and torch's bias."""
    residual = AdaptiveResidual(
        48, (64, 32), num_groups=4, rank=8, num_residuals=3, factor_init=factor_init, alone=True
    )
    weight, bias = residual(None, None)
    assert not weight.any()
    assert bias.std().item() == pytest.approx(1 / math.sqrt(3 * 48), rel=0.1)
    assert bias.mean().item() == pytest.approx(0, abs=0.01)


def test_static_alone_starts_like_xavier():
    (weight,) = StaticResidual(torch.Size((200, 300)), rank=4, num_groups=4, alone=True)(None)
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (300 + 200)), rel=0.1)


def test_static_starts_as_published():
    residual = StaticResidual(torch.Size((200, 300)), rank=4, num_groups=4)
    assert not residual.up.any()
    bound = math.sqrt(6 / 300)
    assert 0.99 * bound < residual.down.abs().max() <= bound
    assert residual.down.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize(("factor_init", "fan_ins"), [("stacked", (32 * 8, 8 * 40)), ("matrix", (8, 40))])
def test_adaptive_factors_start_as_published(factor_init, fan_ins):
    residual = AdaptiveResidual(8, (32, 40), num_groups=4, rank=8, num_residuals=3, factor_init=factor_init)
    for factor, fan_in in zip((residual.left, residual.right), fan_ins):
        bound = math.sqrt(6 / fan_in)
        assert 0.99 * bound < factor.abs().max() <= bound
        assert factor.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        if factor_init == "stacked":  # as torch starts the tensor of all groups
            stacked = nn.init.kaiming_uniform_(torch.empty(12, *factor.shape[-2:]))
            assert factor.std().item() == pytest.approx(stacked.std().item(), rel=0.05)


def test_what_makes_residuals_knows_the_stage():
    make = adaptive((ROWS, COLUMNS), num_groups=G, rank=R, num_residuals=(1, 3))
    shapes = (torch.Size((G * ROWS * COLUMNS, D)), torch.Size((G * ROWS * COLUMNS,)))
    residuals = [make(shapes, stage, False) for stage in (0, 1)]
    assert [residual.left.shape[1] for residual in residuals] == [1, 3]
    assert [residual.shapes for residual in residuals] == [shapes, shapes]
    shape = torch.Size((5, 7))
    assert [len(static(rank=2, num_groups=(1, 3))((shape,), stage, False).down) for stage in (0, 1)] == [2, 6]
    assert len(static(rank=2)((shape,), 1, False).down) == 2
    for alone in (False, True):
        assert make(shapes, 0, alone).alone == static(rank=2)((shape,), 0, alone).alone == alone


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"num_residuals": 0}, {"factor_init": "other"}])
def test_bad_arguments_of_adaptive_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_adaptive(**wrong)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"num_groups": 0}])
def test_bad_arguments_of_static_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_static(**wrong)
