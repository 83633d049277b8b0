"""Adaptive mixing as an autograd function of fused kernels, which keeps nothing but its inputs.

The backward pass is one kernel where that fits the device, and else two, with plain products between and after them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from lors_det.ops.dispatch import differentiated, tf32_allowed
from lors_det.ops.triton.launch import launch, misfit
from lors_det.ops.triton.mix_kernels import mix_backward, mix_backward_hidden, mix_backward_out, mix_forward

NUM_WARPS = 8
"""Fewer or more spill registers at the published shapes."""


class Plan(NamedTuple):
    """How the kernels run on a device, or why they cannot."""

    split: bool = False
    """Whether the backward pass is two kernels instead of one."""
    obstacle: str | None = None


@cache
def plan(device: torch.device, dtype: torch.dtype, sizes: tuple[int, int, int], precision: str, backward: bool) -> Plan:
    """What fits a device, tried once a process: both directions before the first forward pass.

    Args:
        device: a CUDA device, with its index.
        dtype: of all tensors.
        sizes: P, C, O.
        precision: of products, as :func:`precision` gives it.
        backward: whether the backward pass must fit too.
    """
    options = {**constants(*sizes), "PRECISION": precision, "num_warps": NUM_WARPS}

    def unfit(kernel: Any) -> str | None:
        num_tensors = sum(name.endswith("_pointer") for name in kernel.arg_names)
        return misfit(kernel, device, [dtype] * num_tensors, options)

    obstacle = unfit(mix_forward)
    if obstacle is not None or not backward or unfit(mix_backward) is None:
        return Plan(obstacle=obstacle)
    return Plan(split=True, obstacle=unfit(mix_backward_out) or unfit(mix_backward_hidden))


def plan_for(x: Tensor, channel: Tensor, spatial: Tensor) -> Plan:
    """The plan for tensors (N, P, C), (N, C, C), (N, O, P) of one dtype on one CUDA device."""
    sizes = (x.shape[1], x.shape[2], spatial.shape[1])
    return plan(x.device, x.dtype, sizes, precision(x.dtype), differentiated(x, channel, spatial))


def padded(size: int) -> int:
    """The power of two, at least 16, that a matrix product's side is padded to."""
    return max(16, int(triton.next_power_of_2(size)))


def constants(num_points: int, channels: int, num_out: int) -> dict[str, int]:
    """Compile-time constants of all kernels, less the precision."""
    return dict(
        P=num_points,
        C=channels,
        O=num_out,
        PADDED_P=padded(num_points),
        PADDED_C=padded(channels),
        PADDED_O=padded(num_out),
    )


def precision(dtype: torch.dtype) -> str:
    """How float32 products are made: as torch is told to make its own."""
    return "tf32" if dtype == torch.float32 and tf32_allowed() else "ieee"


class Mix(torch.autograd.Function):
    """(N, P, C), (N, C, C), (N, O, P) -> (N, O, C), contiguous and of one dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, channel: Tensor, spatial: Tensor, split: bool) -> Tensor:
        out = x.new_empty(len(x), spatial.shape[1], x.shape[2])
        ctx.save_for_backward(x, channel, spatial)
        ctx.split = split
        ctx.precision = precision(x.dtype)  # the plan was made for it, and it may be another when gradients are asked
        _launch(mix_forward, ctx.precision, x, channel, spatial, out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, channel, spatial = ctx.saved_tensors
        grad = grad.contiguous()
        if ctx.split:
            hidden, d_out = torch.empty_like(x), torch.empty_like(grad)
            _launch(mix_backward_out, ctx.precision, x, channel, spatial, grad, hidden, d_out)
            d_spatial = d_out.bmm(hidden.mT)
            d_hidden = hidden  # takes its place: the product above was its last use
            _launch(mix_backward_hidden, ctx.precision, x, channel, spatial, d_out, d_hidden)
            return d_hidden.bmm(channel.mT), x.mT.bmm(d_hidden), d_spatial, None
        d_x, d_channel, d_spatial = torch.empty_like(x), torch.empty_like(channel), torch.empty_like(spatial)
        _launch(mix_backward, ctx.precision, x, channel, spatial, grad, d_x, d_channel, d_spatial)
        return d_x, d_channel, d_spatial, None


def _launch(kernel: Any, precision: str, x: Tensor, channel: Tensor, spatial: Tensor, *rest: Tensor) -> None:
    """One program for each of the N matrices."""
    options = {**constants(x.shape[1], x.shape[2], spatial.shape[1]), "PRECISION": precision, "num_warps": NUM_WARPS}
    launch(kernel, (len(x),), [x, channel, spatial, *rest], options)


def mix(x: Tensor, channel: Tensor, spatial: Tensor, *, split: bool | None = None) -> Tensor:
    """(N, P, C), (N, C, C), (N, O, P) -> (N, O, C), see :func:`lors_det.ops.mixing.adaptive_mix`.

    ``split`` takes the backward pass in two kernels and three products instead of one kernel; by default where the one
    kernel does not fit the device.
    """
    if split is None:
        split = x.is_cuda and plan_for(x, channel, spatial).split
    apply: Callable[..., Tensor] = Mix.apply  # torch leaves it untyped
    return apply(x.contiguous(), channel.contiguous(), spatial.contiguous(), split)
