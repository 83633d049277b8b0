"""What each parameter starts from, by name, for published shapes; and that mmengine leaves it so."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from references.small import adamixer_decoder, lors_decoder
from torch import Tensor

from lors_det.adamixer import Decoder
from lors_det.adamixer.geometry import grid_offsets
from lors_det.adamixer.published import ADAMIXER, LORS

PUBLISHED = {
    "lors": replace(LORS, share=(0, 0), adaptive_groups=(1, 3), static_groups=None),
    "adamixer": replace(ADAMIXER, share=(0, 1)),
}
"""The published decoders, of two stages."""


@pytest.fixture(scope="module")
def decoders() -> dict[str, Decoder]:
    torch.manual_seed(0)
    return {name: Decoder(80, spec) for name, spec in PUBLISHED.items()}


def is_uniform(tensor: Tensor, bound: float) -> bool:
    """Within the bound, filling it, with the deviation of a uniform distribution."""
    peak = tensor.abs().max().item()
    return 0.9 * bound < peak <= bound * (1 + 1e-6) and abs(tensor.std().item() / bound * math.sqrt(3) - 1) < 0.1


def xavier(weight: Tensor) -> float:
    return math.sqrt(6 / sum(weight.shape))


@pytest.mark.parametrize("published", PUBLISHED)
def test_stages_start_as_published(decoders, published):
    for stage in decoders[published].stack:
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


def test_offsets_start_on_a_grid_or_spread(decoders):
    lors, adamixer = (decoders[name].stack[0].sampling.offsets.bias for name in PUBLISHED)
    assert (lors.view(-1, 3)[:, 2] == -1).all()
    assert (adamixer.view(-1, 3)[:, 2] == -1).all()
    torch.testing.assert_close(lors.view(2, 64, 3)[1, :, :2], grid_offsets(64))
    assert is_uniform(adamixer.view(-1, 3)[:, :2], 0.5)


def test_mixing_starts_as_published(decoders):
    lors, adamixer = (decoders[name].stack for name in PUBLISHED)
    for owner in (*lors.bases, *adamixer.stages):
        for generator in (owner.mixing.channel, owner.mixing.spatial):
            assert not generator.weight.any()
            assert is_uniform(generator.bias, 1 / 16)
    out = lors.bases[0].mixing.out
    assert is_uniform(out.weight, 1 / math.sqrt(out.weight.shape[1]))
    assert [name for name, _ in out.named_parameters()] == ["weight"]
    for stage in adamixer:
        assert is_uniform(stage.mixing.out.weight, xavier(stage.mixing.out.weight))
        assert is_uniform(stage.mixing.out.bias, 1 / math.sqrt(stage.mixing.out.in_features))
    for stage, residuals in zip(lors, lors.residuals, strict=True):
        projection = residuals.get_submodule("mixing.out.weight")
        assert is_uniform(projection.down, math.sqrt(6 / projection.down.shape[1]))
        assert not any(tensor.any() for tensor in (projection.up, stage.mixing.out.bias))
        for name in ("mixing.channel", "mixing.spatial"):
            residual = residuals.get_submodule(name)
            assert not any(tensor.any() for tensor in residual.core.parameters())
            for factor in (residual.left, residual.right):
                assert is_uniform(factor, math.sqrt(6 / factor[0, 0].numel()))


def test_biases_beside_shared_layers_start_at_zero_but_for_the_points():
    """As a static residual's bias starts, the one that the published LORS has."""
    layers = lors_decoder(layer_rank=2).stack
    points = adamixer_decoder().stack[0].sampling.offsets.bias
    for stage in layers:
        named = ("attention.qkv", "attention.out", "ffn.layers.0", "ffn.layers.2", "mixing.out")
        assert not any(stage.get_parameter(f"{name}.bias").any() for name in named)
        assert torch.equal(stage.sampling.offsets.bias, points)


@pytest.mark.parametrize(("out_init", "bound"), [("linear", 1 / 128**0.5), ("xavier", (6 / (128 + 16)) ** 0.5)])
def test_the_output_projection_starts_as_the_spec_says(out_init, bound):
    shared, own = lors_decoder(out_init=out_init).stack, adamixer_decoder(out_init=out_init).stack
    assert is_uniform(shared.bases[0].mixing.out.weight, bound)
    assert all(is_uniform(stage.mixing.out.weight, bound) for stage in own)
