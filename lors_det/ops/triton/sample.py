"""3-D sampling as an autograd function of one kernel a direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import triton
from torch import Tensor

from lors_det.ops.triton.launch import launch, misfit
from lors_det.ops.triton.sample_kernels import sample_backward, sample_forward

BLOCK = 16
"""Points of one program."""

FORWARD_WARPS, BACKWARD_WARPS = 4, 8
"""Fewer spill registers at the published shapes."""


@cache
def obstacle(
    device: torch.device, dtype: torch.dtype, sizes: tuple[int, int, int], strides: tuple[int, ...], backward: bool
) -> str | None:
    """Why the kernels cannot run on a device, in words, tried once a process; None where they can.

    Args:
        device: a CUDA device, with its index.
        dtype: of the bank.
        sizes: G, P, C.
        strides: of the levels, pixels.
        backward: whether the backward pass must fit too.
    """
    fixed = constants(*sizes, strides)
    bank, levels, points, counts = dtype, torch.int32, torch.float32, (1, 1)
    found = misfit(sample_forward, device, [bank, levels, points, dtype, *counts], fixed | {"num_warps": FORWARD_WARPS})
    if found is not None or not backward:
        return found
    tensors = [bank, levels, points, dtype, torch.float32, torch.float32]
    return misfit(sample_backward, device, [*tensors, *counts], fixed | {"num_warps": BACKWARD_WARPS})


def constants(num_groups: int, num_points: int, channels: int, strides: tuple[int, ...]) -> dict[str, object]:
    """Compile-time constants of both kernels."""
    return dict(
        G=num_groups,
        P=num_points,
        C=channels,
        PADDED_C=triton.next_power_of_2(channels),
        STRIDES=tuple(strides),
        CENTRES=tuple(math.log2(stride) for stride in strides),
        BLOCK=BLOCK,
    )


class Sample(torch.autograd.Function):
    """bank (B, rows, D), levels (L, 3) int32 of (height, width, first row), points (B, Q, G, P, 3) float32."""

    @staticmethod
    def forward(ctx: Any, bank: Tensor, levels: Tensor, points: Tensor, strides: tuple[int, ...]) -> Tensor:
        num_images, num_queries, num_groups, num_points, _ = points.shape
        channels = bank.shape[2] // num_groups
        out = bank.new_empty(num_images, num_queries, num_groups, num_points, channels)
        ctx.sizes = constants(num_groups, num_points, channels, strides)
        ctx.save_for_backward(bank, levels, points)
        _launch(sample_forward, FORWARD_WARPS, ctx.sizes, bank, levels, points, out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, None]:
        bank, levels, points = ctx.saved_tensors
        d_bank = torch.zeros_like(bank, dtype=torch.float32)
        d_points = torch.empty_like(points)
        _launch(sample_backward, BACKWARD_WARPS, ctx.sizes, bank, levels, points, grad.contiguous(), d_bank, d_points)
        return d_bank.to(bank.dtype), None, d_points, None


def _launch(
    kernel: Any, num_warps: int, sizes: dict[str, object], bank: Tensor, levels: Tensor, points: Tensor, *rest: Tensor
) -> None:
    """One program for each block of points of each query and group."""
    num_images, num_queries, num_groups, num_points, _ = points.shape
    grid = (num_images * num_queries * num_groups, triton.cdiv(num_points, BLOCK))
    tensors = (bank, levels, points, *rest)
    launch(kernel, grid, [*tensors, bank.shape[1], num_queries], sizes | {"num_warps": num_warps})


def sample(bank: Tensor, levels: Tensor, points: Tensor, strides: tuple[int, ...]) -> Tensor:
    """See :func:`lors_det.ops.sampling.sample_3d`."""
    apply: Callable[..., Tensor] = Sample.apply  # torch leaves it untyped
    return apply(bank.contiguous(), levels, points.contiguous(), strides)
