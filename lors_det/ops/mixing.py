"""Adaptive mixing: kernels made from a query mix its sampled features (AdaMixer, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lors_det.ops.dispatch import obstacle_of, tf32_allowed, use_kernel

MAX_KERNEL_SIDE = 128
"""Longest side of a matrix that the fused kernel holds; the published models stay within it."""


def adaptive_mix(x: Tensor, channel: Tensor, spatial: Tensor) -> Tensor:
    """Mix channels, then points: h = ReLU(LN(x M)), o = ReLU(LN(S h)).

    LN normalises over the whole (P, C), respectively (O, C), matrix, without affine weights, eps 1e-5.

    The leading dimensions are flattened into one batch of matrices: the batched product then runs without the
    copies that broadcasting over three dimensions costs. On a GPU one fused kernel a direction does all of it and keeps
    nothing but the inputs for the backward pass, see :mod:`lors_det.ops.dispatch`.

    Args:
        x: (..., P, C) sampled features.
        channel: M, (..., C, C), input channel first.
        spatial: S, (..., O, P).

    Returns:
        o, (..., O, C).
    """
    lead = x.shape[:-2]
    x, channel, spatial = (tensor.reshape(-1, *tensor.shape[-2:]) for tensor in (x, channel, spatial))
    if use_kernel("adaptive_mix", _obstacle(x, channel, spatial), warn=x.is_cuda and len(x) > 0):
        from lors_det.ops.triton.mix import mix

        o = mix(x, channel, spatial)
    else:
        h = x.bmm(channel)
        h = F.relu(F.layer_norm(h, h.shape[-2:]), inplace=True)
        o = spatial.bmm(h)
        o = F.relu(F.layer_norm(o, o.shape[-2:]), inplace=True)
    return o.view(*lead, *o.shape[-2:])


def _obstacle(x: Tensor, channel: Tensor, spatial: Tensor) -> str | None:
    """Why the fused kernel cannot run, in words; None where it can."""
    obstacle = obstacle_of(x, channel, spatial)
    if obstacle is not None:
        return obstacle
    if not x.dtype == channel.dtype == spatial.dtype:
        return f"its tensors have different types, {x.dtype}, {channel.dtype} and {spatial.dtype}"
    if x.dtype == torch.float32 and not tf32_allowed():
        return (
            "float32 products at full precision spill registers, and TF32 is off "
            "(torch.set_float32_matmul_precision('high') allows it)"
        )
    if not len(x):
        return "there is nothing to mix"
    sides = (*x.shape[1:], spatial.shape[1])
    if max(sides) > MAX_KERNEL_SIDE:  # their number is not told: it changes from batch to batch, and this is told once
        return f"it holds matrices of up to {MAX_KERNEL_SIDE} rows and columns, and got sides of {sides}"
    from lors_det.ops.triton.mix import plan_for

    return plan_for(x, channel, spatial).obstacle


def adaptive_mix_reference(x: Tensor, channel: Tensor, spatial: Tensor) -> Tensor:
    """What :func:`adaptive_mix` computes, written as the paper writes it. Same arguments, same result."""
    h = x @ channel
    mean, variance = h.mean((-2, -1), keepdim=True), h.var((-2, -1), keepdim=True, correction=0)
    h = ((h - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
    o = spatial @ h
    mean, variance = o.mean((-2, -1), keepdim=True), o.var((-2, -1), keepdim=True, correction=0)
    return ((o - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
