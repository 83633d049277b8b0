"""Adaptive mixing: kernels made from a query mix its sampled features (AdaMixer, section 3.3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def adaptive_mix(x: Tensor, channel: Tensor, spatial: Tensor) -> Tensor:
    """Mix channels, then points: h = ReLU(LN(x M)), o = ReLU(LN(S h)).

    LN normalises over the whole (P, C), respectively (O, C), matrix, without affine weights, eps 1e-5.

    The leading dimensions are flattened into one batch of matrices: the batched product then runs without the
    copies that broadcasting over three dimensions costs.

    Args:
        x: (..., P, C) sampled features.
        channel: M, (..., C, C), input channel first.
        spatial: S, (..., O, P).

    Returns:
        o, (..., O, C).
    """
    lead = x.shape[:-2]
    x, channel, spatial = (tensor.reshape(-1, *tensor.shape[-2:]) for tensor in (x, channel, spatial))
    h = x.bmm(channel)
    h = F.relu(F.layer_norm(h, h.shape[-2:]), inplace=True)
    o = spatial.bmm(h)
    o = F.relu(F.layer_norm(o, o.shape[-2:]), inplace=True)
    return o.unflatten(0, lead)


def adaptive_mix_reference(x: Tensor, channel: Tensor, spatial: Tensor) -> Tensor:
    """What :func:`adaptive_mix` computes, written as the paper writes it. Same arguments, same result."""
    h = x @ channel
    mean, variance = h.mean((-2, -1), keepdim=True), h.var((-2, -1), keepdim=True, correction=0)
    h = ((h - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
    o = spatial @ h
    mean, variance = o.mean((-2, -1), keepdim=True), o.var((-2, -1), keepdim=True, correction=0)
    return ((o - mean) / (variance + 1e-5).sqrt()).clamp(min=0)
