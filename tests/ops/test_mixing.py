"""Adaptive mixing: the op is the reference."""

from __future__ import annotations

import pytest
import torch
from references.accuracy import assert_as_accurate

from lors_det.ops import adaptive_mix, adaptive_mix_reference


@pytest.mark.parametrize(
    ("lead", "num_points", "channels", "num_out"),
    [((2, 5, 2), 4, 8, 6), ((1, 1, 1), 1, 2, 1), ((7,), 9, 3, 5), ((2, 3, 4), 64, 32, 16)],
)
def test_equals_reference(lead, num_points, channels, num_out):
    x = torch.randn(*lead, num_points, channels)
    channel = torch.randn(*lead, channels, channels)
    spatial = torch.randn(*lead, num_out, num_points)
    assert adaptive_mix(x, channel, spatial).shape == (*lead, num_out, channels)
    assert_as_accurate(adaptive_mix, adaptive_mix_reference, x, channel, spatial)


def test_gradients_are_exact():
    x, channel, spatial = (torch.randn(2, *shape).double().requires_grad_() for shape in ((3, 4), (4, 4), (5, 3)))
    torch.autograd.gradcheck(adaptive_mix, (x, channel, spatial))


def test_inputs_are_not_changed():
    tensors = [torch.randn(2, *shape) for shape in ((3, 4), (4, 4), (5, 3))]
    before = [tensor.clone() for tensor in tensors]
    adaptive_mix(*tensors)
    assert all(torch.equal(tensor, old) for tensor, old in zip(tensors, before))
