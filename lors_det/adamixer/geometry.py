"""Boxes as (x, y, z, r), and what follows from them. Everything here is at least float32.

The width of a box is 2^(z - r/2), its height 2^(z + r/2); see the symbols in ``lors_det``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MIN_AREA_PX = 1e-6
"""Area below which a box counts as this large where it divides, square pixels."""


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor itself in float32 or float64, else as float32: half precision cannot hold pixel coordinates."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def box_sizes(xyzr: Tensor) -> Tensor:
    """Width and height in pixels, (..., 4) -> (..., 2)."""
    z, r = xyzr[..., 2], xyzr[..., 3]
    return torch.stack([2 ** (z - r / 2), 2 ** (z + r / 2)], dim=-1)


def xyzr_to_xyxy(xyzr: Tensor) -> Tensor:
    """Corners of boxes, (..., 4) -> (..., 4), pixels."""
    half = box_sizes(xyzr) / 2
    return torch.cat([xyzr[..., :2] - half, xyzr[..., :2] + half], dim=-1)


def xyxy_to_xyzr(boxes_xyxy: Tensor) -> Tensor:
    """Boxes of positive sides by their corners, (..., 4) -> (..., 4): the inverse of :func:`xyzr_to_xyxy`."""
    w, h = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).unbind(-1)
    x, y = ((boxes_xyxy[..., 2:] + boxes_xyxy[..., :2]) / 2).unbind(-1)
    return torch.stack([x, y, (w.log2() + h.log2()) / 2, h.log2() - w.log2()], dim=-1)


def whole_image_xyzr(image_sizes: Tensor) -> Tensor:
    """The box that covers an image.

    Args:
        image_sizes: (..., 2), width and height before padding, pixels.

    Returns:
        (..., 4): x = w/2, y = h/2, z = log2 sqrt(w h), r = log2(h / w).
    """
    w, h = image_sizes.unbind(-1)
    return torch.stack([w / 2, h / 2, (w * h).log2() / 2, (h / w).log2()], dim=-1)


def refine(xyzr: Tensor, deltas: Tensor) -> Tensor:
    """Move boxes: x += dx 2^z, y += dy 2^z, z += dz, r += dr.

    Args:
        xyzr: (..., 4).
        deltas: (..., 4), (dx, dy, dz, dr).
    """
    deltas = at_least_float32(deltas)
    centre = xyzr[..., :2] + deltas[..., :2] * 2 ** xyzr[..., 2:3]
    return torch.cat([centre, xyzr[..., 2:] + deltas[..., 2:]], dim=-1)


def position_embedding(xyzr: Tensor, dim: int) -> Tensor:
    """Sines and cosines of (x / 1000, y / 1000, z, r).

    Each of the four becomes n = dim / 4 features: value / 10000^(2 floor(i / 2) / n) for i = 0 ... n - 1, sine
    at even i, cosine at odd i; the four follow each other in the order x, y, z, r.

    Args:
        xyzr: (..., 4).
        dim: D, a multiple of 8.

    Returns:
        (..., D).

    Raises:
        ValueError: if dim is not a multiple of 8.
    """
    if dim % 8:
        raise ValueError(f"position_embedding: dim={dim}; it must be a multiple of 8")
    num_features = dim // 4
    exponent = torch.arange(0, num_features, 2, device=xyzr.device, dtype=xyzr.dtype) / num_features
    scaled = torch.cat([xyzr[..., :2] / 1000, xyzr[..., 2:]], dim=-1)  # a tensor of scales would be copied to a GPU
    angle = scaled[..., None] / 10000**exponent  # (..., 4, n / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-3)


def pairwise_iof(boxes_xyxy: Tensor) -> Tensor:
    """Intersection over foreground: iof_ij = area(box_i and box_j) / area(box_i), (..., Q, 4) -> (..., Q, Q)."""
    top_left = torch.maximum(boxes_xyxy[..., :, None, :2], boxes_xyxy[..., None, :, :2])
    bottom_right = torch.minimum(boxes_xyxy[..., :, None, 2:], boxes_xyxy[..., None, :, 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)
    area = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).prod(-1)
    return intersection / area.clamp(min=MIN_AREA_PX)[..., None]


def grid_offsets(num_points: int) -> Tensor | None:
    """Cell centres of a sqrt(P) x sqrt(P) grid over the unit box around zero, or None where P is not a square.

    Point p has first offset (floor(p / sqrt P) + 0.5) / sqrt(P) - 0.5 and second offset likewise from
    p mod sqrt(P), the published order.

    Returns:
        (P, 2).
    """
    side = math.isqrt(num_points)
    if side * side != num_points:
        return None
    centres = (torch.arange(side) + 0.5) / side - 0.5
    return torch.cartesian_prod(centres, centres)


def paired_iou(left: Tensor, right: Tensor, eps: float = 1e-6) -> Tensor:
    """IoU of boxes (..., 4), xyxy, each with its own counterpart."""
    overlap = (torch.minimum(left[..., 2:], right[..., 2:]) - torch.maximum(left[..., :2], right[..., :2])).clamp(min=0)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (left, right)]
    common = overlap.prod(-1)
    return common / (areas[0] + areas[1] - common).clamp(min=eps)


def generalized_iou(left: Tensor, right: Tensor, eps: float = 1e-6) -> Tensor:
    """GIoU = IoU - (hull - union) / hull of boxes (..., 4), xyxy, which broadcast against each other."""
    low, high = torch.maximum(left[..., :2], right[..., :2]), torch.minimum(left[..., 2:], right[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (left, right)]
    union = (areas[0] + areas[1] - overlap).clamp(min=eps)
    low, high = torch.minimum(left[..., :2], right[..., :2]), torch.maximum(left[..., 2:], right[..., 2:])
    hull = (high - low).clamp(min=0).prod(-1).clamp(min=eps)
    return overlap / union - (hull - union) / hull
