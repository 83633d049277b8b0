"""The fused kernels: values and gradients, in Triton's interpreter where there is no GPU."""

from __future__ import annotations

import pytest
import torch
from references.accuracy import assert_as_accurate
from references.many_cells import SIDE, many_cells

from lors_det.ops import FeatureBank, adaptive_mix, adaptive_mix_reference, sample_3d, sample_3d_reference

pytest.importorskip("triton", reason="Triton is not installed; kernels are not tested")
from lors_det.ops.triton.mix import mix
from lors_det.ops.triton.sample import sample

STRIDES = (4, 8, 16, 32)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("split", [False, True], ids=["one-kernel", "split"])
@pytest.mark.parametrize(
    ("num", "num_points", "channels", "num_out"),
    [(1, 64, 128, 128), (3, 32, 64, 128), (5, 9, 24, 24), (7, 1, 3, 5), (2, 17, 16, 33)],
)
def test_mix_is_as_accurate_as_torch(num, num_points, channels, num_out, split):
    x = torch.randn(num, num_points, channels, device=DEVICE)
    channel = torch.randn(num, channels, channels, device=DEVICE)
    spatial = torch.randn(num, num_out, num_points, device=DEVICE)

    def fused(x, channel, spatial):
        if x.dtype == torch.float64:
            return adaptive_mix_reference(x, channel, spatial)
        return mix(x, channel, spatial, split=split)

    assert_as_accurate(fused, adaptive_mix_reference, x, channel, spatial)


def test_mix_of_a_constant_matrix_is_zero():
    """Its norm divides nothing by the root of epsilon, and not by zero."""
    x, channel, spatial = torch.zeros(2, 4, 8), torch.randn(2, 8, 8), torch.randn(2, 6, 4)
    tensors = [tensor.to(DEVICE).requires_grad_() for tensor in (x, channel, spatial)]
    out = mix(*tensors)
    assert not out.any()
    out.sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in tensors)


def test_mix_of_what_is_no_number_stays_visible():
    x, channel, spatial = torch.randn(2, 4, 8), torch.randn(2, 8, 8), torch.randn(2, 6, 4)
    x[0, 1, 2] = float("nan")
    out = mix(*(tensor.to(DEVICE) for tensor in (x, channel, spatial)))
    assert out[0].isnan().all()
    assert out[1].isfinite().all()


def where(num_images, num_queries, num_groups, num_points, size):
    """Points inside and outside of a square image, over all scales and beyond."""
    xy = (torch.rand(num_images, num_queries, num_groups, num_points, 2) * 2 - 0.5) * size
    z = torch.rand(num_images, num_queries, num_groups, num_points, 1) * 8
    return torch.cat([xy, z], dim=-1).to(DEVICE)


def pyramid(num_images, dim, num_levels, height=48, width=60):
    sizes = [(-(-height // s), -(-width // s)) for s in STRIDES[:num_levels]]
    return [torch.randn(num_images, dim, h, w, device=DEVICE) for h, w in sizes]


@pytest.mark.parametrize(
    ("num_images", "num_queries", "num_groups", "num_points", "channels", "num_levels"),
    [(2, 2, 2, 4, 8, 4), (1, 3, 1, 1, 1, 1), (2, 1, 4, 9, 3, 2), (1, 1, 2, 17, 16, 4)],
)
def test_sample_is_as_accurate_as_torch(num_images, num_queries, num_groups, num_points, channels, num_levels):
    levels = pyramid(num_images, num_groups * channels, num_levels)
    strides = STRIDES[:num_levels]

    def fused(points, *levels):
        bank = FeatureBank.from_levels(levels, strides)
        if points.dtype == torch.float64:
            return sample_3d_reference(bank, points)
        return sample(bank.rows, bank.table, points, strides)

    def plain(points, *levels):
        return sample_3d_reference(FeatureBank.from_levels(levels, strides), points)

    assert_as_accurate(fused, plain, where(num_images, num_queries, num_groups, num_points, 60.0), *levels)


def test_scales_far_beyond_all_levels():
    bank = FeatureBank.from_levels(pyramid(1, 4, 4), STRIDES)
    points = where(1, 2, 1, 4, 48.0)
    points[0, 0, ..., 2], points[0, 1, ..., 2] = 60.0, -60.0
    leaves = [points.clone().requires_grad_() for _ in range(2)]
    outputs = sample(bank.rows, bank.table, leaves[0], bank.strides), sample_3d_reference(bank, leaves[1])
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)


def test_a_level_of_more_cells_than_float32_counts():
    bank, points, truth = many_cells(DEVICE)
    torch.testing.assert_close(sample(bank.rows, bank.table, points, bank.strides), truth)
    leaf = bank.rows.requires_grad_()
    sample(leaf, bank.table, points, bank.strides).sum().backward()
    (rows,) = leaf.grad.flatten().nonzero(as_tuple=True)
    assert (rows % SIDE).tolist() == truth.flatten().int().tolist()


def test_points_that_are_no_numbers_stay_visible():
    bank = FeatureBank.from_levels(pyramid(1, 6, 2), STRIDES[:2])
    points = where(1, 2, 2, 3, 32.0)
    points[0, 1, 0, 2] = float("nan")
    points[0, 1, 0, 1, 2] = float("nan")
    points[0, 1, 1, 1, 0] = 1e30
    sampled = sample(bank.rows, bank.table, points, bank.strides)
    assert sampled[0, 1, 0, 1:].isnan().all()
    assert sampled[0, 0].isfinite().all()
    assert not sampled[0, 1, 1, 1].any()


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_on_a_gpu_is_as_accurate_as_torch(monkeypatch, dtype):
    monkeypatch.setenv("LORS_DET_KERNELS", "require")  # else plain torch might be compared with itself

    def fused(x, channel, spatial):
        return (adaptive_mix_reference if x.dtype == torch.float64 else adaptive_mix)(x, channel, spatial)

    tensors = [torch.randn(64, *shape, device=DEVICE, dtype=dtype) for shape in ((64, 128), (128, 128), (128, 64))]
    assert_as_accurate(fused, adaptive_mix_reference, *tensors)


@needs_gpu
def test_a_gpu_takes_the_kernels_and_repeats_their_results(monkeypatch):
    """With the kernels required, plain torch raises; a race would show as a difference between two runs."""
    monkeypatch.setenv("LORS_DET_KERNELS", "require")
    tensors = [torch.randn(600, *s, device=DEVICE, dtype=torch.bfloat16) for s in ((64, 128), (128, 128), (128, 64))]
    assert torch.equal(adaptive_mix(*tensors), adaptive_mix(*tensors))
    bank = FeatureBank.from_levels(pyramid(2, 256, 4, 800, 1280), STRIDES)
    points = where(2, 300, 2, 64, 1280.0)
    assert torch.equal(sample_3d(bank, points), sample_3d(bank, points))
    torch.testing.assert_close(sample_3d(bank, points), sample_3d_reference(bank, points), rtol=1e-4, atol=1e-4)
