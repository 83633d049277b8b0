"""What each parameter starts from, by name, for published shapes; and that mmengine leaves it so."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lors_det.adamixer import Decoder
from lors_det.adamixer.geometry import grid_offsets

LORS = dict(
    share=(0, 0),
    num_groups=2,
    num_points=64,
    num_out_points=128,
    adaptive_rank=16,
    adaptive_groups=(1, 3),
    static_rank=8,
    out_init="linear",
)
ADAMIXER = dict(share=(0, 1), num_groups=4, num_points=32, num_out_points=128)


def is_uniform(tensor: Tensor, bound: float) -> bool:
    """Within the bound, filling it, with the deviation of a uniform distribution."""
    peak = tensor.abs().max().item()
    return 0.9 * bound < peak <= bound * (1 + 1e-6) and abs(tensor.std().item() / bound * math.sqrt(3) - 1) < 0.1


def xavier(weight: Tensor) -> float:
    return math.sqrt(6 / sum(weight.shape))


@pytest.mark.parametrize("published", [LORS, ADAMIXER], ids=["lors", "adamixer"])
def test_stages_start_as_published(published):
    decoder = Decoder(80, **published)
    for stage in decoder.stages:
        linears = [
            stage.attention.qkv,
            stage.attention.out,
            stage.ffn.layers[0],
            stage.ffn.layers[2],
            stage.classify[0],
            stage.classify[3],
            stage.regress[0],
        ]
        assert all(is_uniform(linear.weight, xavier(linear.weight)) for linear in linears)
        defaults = [stage.ffn.layers[0], stage.ffn.layers[2], stage.classify[0], stage.regress[0]]
        assert all(is_uniform(linear.bias, 1 / math.sqrt(linear.in_features)) for linear in defaults)
        assert not any(linear.bias.any() for linear in (stage.attention.qkv, stage.attention.out, stage.regress[3]))
        assert not stage.regress[3].weight.any()
        torch.testing.assert_close(stage.classify[3].bias.sigmoid(), torch.full((80,), 0.01))
        assert 0 <= stage.attention.tau.min() < stage.attention.tau.max() <= 4
        assert not stage.sampling.offsets.weight.any()


def test_offsets_start_on_a_grid_or_spread():
    lors, adamixer = (Decoder(80, **published).stages[0].sampling.offsets.bias for published in (LORS, ADAMIXER))
    assert (lors.view(-1, 3)[:, 2] == -1).all()
    assert (adamixer.view(-1, 3)[:, 2] == -1).all()
    torch.testing.assert_close(lors.view(2, 64, 3)[1, :, :2], grid_offsets(64))
    assert is_uniform(adamixer.view(-1, 3)[:, :2], 0.5)


def test_mixing_starts_as_published():
    lors, adamixer = Decoder(80, **LORS), Decoder(80, **ADAMIXER)
    for base in (*lors.bases, *adamixer.bases):
        for generator in (base.channel, base.spatial):
            assert not generator.weight.any()
            assert is_uniform(generator.bias, 1 / 16)
    out = lors.bases[0].out
    assert out.bias is None
    assert is_uniform(out.weight, 1 / math.sqrt(out.in_features))
    assert is_uniform(adamixer.bases[0].out.weight, xavier(adamixer.bases[0].out.weight))
    assert adamixer.bases[0].out.bias is not None
    for stage in lors.stages:
        mixing = stage.mixing
        assert is_uniform(mixing.out.down, math.sqrt(6 / mixing.out.down.shape[1]))
        assert not any(tensor.any() for tensor in (mixing.out.up, mixing.out.bias))
        for residual in (mixing.channel, mixing.spatial):
            assert not any(tensor.any() for tensor in residual.core.parameters())
            for factor in (residual.left, residual.right):
                assert is_uniform(factor, math.sqrt(6 / factor[0, 0].numel()))
