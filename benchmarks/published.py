"""The operators of the published decoders, as plain functions: what this project's speed is compared with.

The operators are those of the published code and cost what they cost there: one ``grid_sample`` a level,
``layer_norm`` over whole matrices, ReLU in place, attention with its logits in memory. No function is shared with what
it is compared to. Symbols as in ``lors_det``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def box_sizes(xyzr: Tensor) -> Tensor:
    """Width 2^(z - r/2) and height 2^(z + r/2), pixels: (..., 4) -> (..., 2)."""
    z, r = xyzr[..., 2], xyzr[..., 3]
    return torch.stack([2 ** (z - r / 2), 2 ** (z + r / 2)], dim=-1)


def corners(xyzr: Tensor) -> Tensor:
    """(..., 4) -> boxes as xyxy, (..., 4), pixels."""
    half = box_sizes(xyzr) / 2
    return torch.cat([xyzr[..., :2] - half, xyzr[..., :2] + half], dim=-1)


def refine(xyzr: Tensor, deltas: Tensor) -> Tensor:
    """x += dx 2^z, y += dy 2^z, z += dz, r += dr."""
    centre = xyzr[..., :2] + deltas[..., :2] * 2 ** xyzr[..., 2:3]
    return torch.cat([centre, xyzr[..., 2:] + deltas[..., 2:]], dim=-1)


def position_embedding(xyzr: Tensor, dim: int) -> Tensor:
    """Interleaved sines and cosines of (x / 1000, y / 1000, z, r), D / 4 of each: (..., 4) -> (..., D)."""
    scaled = xyzr / xyzr.new_tensor([1000.0, 1000.0, 1.0, 1.0])
    i = torch.arange(dim // 4, device=xyzr.device)
    period = 10000 ** (2 * (i // 2).to(xyzr.dtype) / (dim // 4))
    angle = scaled[..., None] / period  # (..., 4, D / 4)
    return torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1).flatten(-3)


def log_iof(boxes_xyxy: Tensor) -> Tensor:
    """log(area(box_i and box_j) / area(box_i) + 1e-7): (B, Q, 4) -> (B, Q, Q)."""
    top_left = torch.maximum(boxes_xyxy[:, :, None, :2], boxes_xyxy[:, None, :, :2])
    bottom_right = torch.minimum(boxes_xyxy[:, :, None, 2:], boxes_xyxy[:, None, :, 2:])
    width, height = (bottom_right - top_left).clamp(min=0).unbind(-1)
    sides = boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]
    area = (sides[..., 0] * sides[..., 1]).clamp(min=1e-6)
    return (width * height / area[..., None] + 1e-7).log()


def attend(qkv: Tensor, bias: Tensor) -> Tensor:
    """Attention of H heads: (B, Q, 3 D) and what is added to the logits, (B, H, Q, Q) -> (B, Q, D)."""
    num_heads = bias.shape[1]
    query, key, value = qkv.unflatten(-1, (3, num_heads, -1)).permute(2, 0, 3, 1, 4).flatten(1, 2)  # (B H, Q, d)
    query = query / math.sqrt(query.shape[-1])
    weights = torch.baddbmm(bias.flatten(0, 1).to(query.dtype), query, key.transpose(1, 2)).softmax(-1)
    return (weights @ value).unflatten(0, (-1, num_heads)).transpose(1, 2).flatten(2)


def sampling_points(offsets: Tensor, xyzr: Tensor, num_groups: int) -> Tensor:
    """Offsets (B, Q, G P 3) from boxes (B, Q, 4) -> points (B, Q, G, P, 3): x and y in pixels, z in log2 of pixels."""
    offsets = offsets.unflatten(-1, (num_groups, -1, 3))
    box = xyzr[:, :, None, None]
    return torch.cat([box[..., :2] + offsets[..., :2] * box_sizes(box), box[..., 2:3] + offsets[..., 2:]], dim=-1)


def sample(levels: Sequence[Tensor], points: Tensor, strides: Sequence[int]) -> Tensor:
    """Each level by itself, then weighted by softmax over l of -(z - log2 s_l)^2 / 2, and summed.

    Args:
        levels: (B, D, H_l, W_l), dtype of the points.
        points: (B, Q, G, P, 3).
        strides: s_l, pixels.

    Returns:
        (B, Q, G, P, C).
    """
    num_images, num_queries, num_groups, num_points, _ = points.shape
    centres = points.new_tensor([math.log2(stride) for stride in strides])
    scale = (-(points[..., 2:] - centres).square() / 2).softmax(-1)
    scale = scale.transpose(1, 2).reshape(num_images * num_groups, 1, num_queries, num_points, -1)
    by_group = points[..., :2].transpose(1, 2).reshape(num_images * num_groups, num_queries, num_points, 2)
    total: Tensor | None = None
    for level, stride, share in zip(levels, strides, scale.unbind(-1)):
        height, width = level.shape[2:]
        grid = by_group / points.new_tensor([width * stride, height * stride]) * 2 - 1
        level = level.reshape(num_images * num_groups, -1, height, width)
        sampled = F.grid_sample(level, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        sampled = sampled * share  # (B G, C, Q, P)
        total = sampled if total is None else total.add_(sampled)
    assert total is not None  # a pyramid has levels
    return total.unflatten(0, (num_images, num_groups)).permute(0, 3, 1, 4, 2)


def mix(sampled: Tensor, channel: Tensor, spatial: Tensor) -> Tensor:
    """h = ReLU(LN(x M)), o = ReLU(LN(S h)): (..., P, C), (..., C, C) and (..., O, P) -> (..., O, C)."""
    h = sampled @ channel
    h = F.relu(F.layer_norm(h, h.shape[-2:]), inplace=True)
    o = spatial @ h
    return F.relu(F.layer_norm(o, o.shape[-2:]), inplace=True)


def corrected_kernels(shared: Tensor | None, left: Tensor, core: Tensor, right: Tensor) -> Tensor:
    """Every private kernel is made, stacked upon the shared one, and summed.

    Args:
        shared: (..., G, rows, columns), or None.
        left: (G, K, rows, R).
        core: (..., G, K, R, R).
        right: (G, K, R, columns).

    Returns:
        (..., G, rows, columns).
    """
    private = left @ core @ right  # (..., G, K, rows, columns)
    if shared is None:
        return private.sum(-3)
    return torch.cat([shared.unsqueeze(-3), private], dim=-3).sum(-3)


def corrected_weight(weight: Tensor | None, up: Tensor, down: Tensor) -> Tensor:
    """W + B A, formed whole."""
    added = up @ down
    return added if weight is None else weight + added
