"""Counting: what a call keeps and does, beside what it is given."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.counting import Counts, counted
from lors_det.ops import FeatureBank


def test_what_a_call_keeps_and_does_is_counted():
    weight = torch.nn.Parameter(torch.randn(8, 4))

    def run(x: Tensor) -> list[Tensor]:
        return [(x @ weight.t()).exp().sum()]  # keeps x and the weight, which are known, and exp's (5, 8) result

    x = torch.randn(5, 4)
    (found,), counts = counted(run, (x,), [weight])
    assert counts == Counts(saved=5 * 8 * 4, operations=3)  # product, exp, sum; the transpose is a view
    torch.testing.assert_close(found, run(x)[0])


def test_inputs_are_not_counted_however_they_are_packed():
    """A bank is an input as levels are."""
    levels = [torch.randn(1, 4, 2, 3)]
    bank = FeatureBank.from_levels(levels, (4,))

    def of_bank(levels: list[Tensor], bank: FeatureBank) -> list[Tensor]:
        return [bank.rows.requires_grad_().square().sum()]

    def of_levels(levels: list[Tensor], bank: FeatureBank) -> list[Tensor]:
        return [levels[0].requires_grad_().square().sum()]

    assert counted(of_bank, (levels, bank))[1].saved == 0
    assert counted(of_levels, (levels, bank))[1].saved == 0


def test_casts_of_weights_are_not_counted_but_what_is_formed_is():
    weight = torch.nn.Parameter(torch.randn(8, 4))

    def cast(x: Tensor) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return [torch.nn.functional.linear(x, weight).sum()]

    def formed(x: Tensor) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return [torch.nn.functional.linear(x, weight * 2).sum()]

    inputs = (torch.randn(5, 4, dtype=torch.bfloat16, requires_grad=True),)
    assert counted(cast, inputs, [weight])[1].saved == 0
    assert counted(formed, inputs, [weight])[1].saved == 8 * 4 * 2  # in bfloat16
