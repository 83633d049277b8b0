"""3-D sampling of a feature pyramid: bilinear in (x, y), soft in log2 scale (AdaMixer, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from lors_det.ops.dispatch import differentiated, obstacle_of, use_kernel


@dataclass(frozen=True)
class FeatureBank:
    """All levels of a pyramid as rows of one channels-last table.

    A decoder builds it once and samples it in every stage.

    Attributes:
        rows: (B, sum of H_l W_l, D), level after level, row-major inside a level; float32 or float64.
        shapes: (H_l, W_l) of each level.
        strides: s_l of each level, pixels of the network's input.
    """

    rows: Tensor
    shapes: tuple[tuple[int, int], ...]
    strides: tuple[int, ...]

    @classmethod
    def from_levels(cls, levels: Sequence[Tensor], strides: Sequence[int]) -> FeatureBank:
        """Pack levels (B, D, H_l, W_l); half precision becomes float32, in which sampling accumulates.

        Raises:
            ValueError: if the numbers of levels and strides differ.
        """
        if len(levels) != len(strides):
            raise ValueError(f"{len(levels)} feature levels came with {len(strides)} strides; they must be equal")
        rows = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)
        shapes = tuple((level.shape[2], level.shape[3]) for level in levels)
        return cls(rows if rows.dtype == torch.float64 else rows.float(), shapes, tuple(strides))

    @property
    def table(self) -> Tensor:
        """(L, 3) int32 on the bank's device: height, width and first row of each level."""
        return _table(self.shapes, self.rows.device)

    def levels(self) -> list[Tensor]:
        """The levels as views (B, D, H_l, W_l) of the table."""
        parts = self.rows.split([h * w for h, w in self.shapes], dim=1)
        return [part.transpose(1, 2).unflatten(2, shape) for part, shape in zip(parts, self.shapes)]


@lru_cache(maxsize=256)  # of each size of image and device: a copy to a GPU, which a CUDA graph could not hold
def _table(shapes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    starts = accumulate((h * w for h, w in shapes), initial=0)
    rows = [(h, w, start) for (h, w), start in zip(shapes, starts)]
    with torch.inference_mode(False):  # else training could not keep it for its backward pass
        return torch.tensor(rows, dtype=torch.int32, device=device)


def level_weights(z: Tensor, strides: Sequence[int]) -> Tensor:
    """Weight of each level for points of scale z: softmax over l of -(z - log2 s_l)^2 / 2.

    Args:
        z: (...), log2 of pixels.
        strides: s_l, pixels.

    Returns:
        (..., L), rows sum to one.
    """
    centres = z.new_tensor([math.log2(stride) for stride in strides])
    return (-(z[..., None] - centres).square() / 2).softmax(dim=-1)


def sample_3d(bank: FeatureBank, points: Tensor) -> Tensor:
    """Sample every group's channels at its points.

    x[b, q, g, p] = sum_l w_l(z) * bilinear(level l, channels g C ... (g + 1) C, at (x, y)), with zeros
    outside the padded image and pixel centres at half-integers (``align_corners=False``).

    All 4 L corner rows of a point are summed by one ``embedding_bag``: nothing of the size of L samples is
    stored, and the gradient of the features is one scatter. On a GPU a fused kernel makes the indices and weights in
    registers, see :mod:`lors_det.ops.dispatch`.

    Args:
        bank: the pyramid, D = G * C channels.
        points: (B, Q, G, P, 3), (x, y) in pixels of the network's input, z = log2 of pixels; dtype of the bank.

    Returns:
        (B, Q, G, P, C), dtype of the bank.

    Raises:
        ValueError: if G does not divide the channels, or bank and points are of other numbers of images.
    """
    num_groups = _checked_groups(bank, points)
    if use_kernel("sample_3d", _obstacle(bank, points), warn=points.is_cuda and points.numel() > 0):
        from lors_det.ops.triton.sample import sample

        return sample(bank.rows, bank.table, points, bank.strides)
    index, weights = _corners(bank, points.flatten(0, 3))
    num_images, num_queries, _, num_points, _ = points.shape
    image = torch.arange(num_images, device=points.device).view(-1, 1, 1, 1) * bank.rows.shape[1]
    group = torch.arange(num_groups, device=points.device).view(-1, 1)
    index = (
        index.view(4 * len(bank.shapes), num_images, num_queries, num_groups, num_points) + image
    ) * num_groups + group
    sampled = _weighted_sums(
        bank.rows.reshape(-1, bank.rows.shape[-1] // num_groups), index.flatten(1).T, weights.flatten(0, -2).T
    )
    return sampled.view(*points.shape[:-1], bank.rows.shape[-1] // num_groups)


def sample_3d_reference(bank: FeatureBank, points: Tensor) -> Tensor:
    """What :func:`sample_3d` computes, by one ``grid_sample`` a level. Same arguments, same result."""
    num_groups = _checked_groups(bank, points)
    num_images, num_queries, _, num_points, _ = points.shape
    channels = bank.rows.shape[-1] // num_groups
    if not points.numel():  # of which grid_sample makes nothing
        return (points.sum() + bank.rows.sum() * 0).expand(*points.shape[:-1], channels)
    scale = level_weights(points[..., 2], bank.strides)
    by_group = points[..., :2].transpose(1, 2).flatten(0, 1)  # (B G, Q, P, 2)
    total = points.new_zeros(())
    for level, (feature, stride) in enumerate(zip(bank.levels(), bank.strides)):
        height, width = feature.shape[2:]
        size = points.new_tensor([width * stride, height * stride])
        sampled = F.grid_sample(
            feature.reshape(num_images * num_groups, channels, height, width),
            by_group / size * 2 - 1,
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )
        sampled = sampled.view(num_images, num_groups, channels, num_queries, num_points).permute(0, 3, 1, 4, 2)
        total = total + sampled * scale[..., level, None]
    return total


def _corners(bank: FeatureBank, points: Tensor) -> tuple[Tensor, Tensor]:
    """Of each point (x, y, z), (N, 3): the rows of an image's bank around it and their weights, both (L, 2, 2, N)."""
    strides = points.new_tensor(bank.strides)[:, None]
    size = points.new_tensor([shape[::-1] for shape in bank.shapes]).T[..., None, None]  # (2, L, 1, 1)
    first = torch.tensor([*accumulate((h * w for h, w in bank.shapes[:-1]), initial=0)], device=points.device)
    place = points.T[:2, None] / strides - 0.5  # (2, L, N)
    low = place.floor()
    far_share = place - low
    corner = torch.stack([low, low + 1], dim=2)  # (2, L, 2, N), x and y apart
    inside = (corner >= 0) & (corner < size)
    share_x, share_y = torch.stack([1 - far_share, far_share], dim=2) * inside
    scale = level_weights(points[:, 2], bank.strides).T  # (L, N)
    weights = (scale[:, None] * share_x)[:, None] * share_y[:, :, None]
    # before the cast: a point far outside, or not a number, would overflow the integers; in those pixels are counted,
    # for float32 counts no further than 2^24
    column, row = torch.where(inside, corner, 0).long()
    width = torch.tensor([shape[1] for shape in bank.shapes], device=points.device)
    pixel = row[:, :, None] * width.view(-1, 1, 1, 1) + column[:, None]
    return pixel + first.view(-1, 1, 1, 1), weights


def _weighted_sums(rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """sum_k weights[n, k] rows[index[n, k]], (N, C)."""
    if torch.compiler.is_exporting():  # ONNX has no such operation, and would loop over the points
        return torch.matmul(weights[:, None], rows[index]).squeeze(1)
    if rows.shape[0] <= torch.iinfo(torch.int32).max:  # the backward pass sorts them, twice as fast in 32 bits
        index = index.int()
    return F.embedding_bag(index, rows, per_sample_weights=weights, mode="sum")


def _obstacle(bank: FeatureBank, points: Tensor) -> str | None:
    """Why the fused kernel cannot run, in words; None where it can."""
    obstacle = obstacle_of(bank.rows, points)
    if obstacle is not None:
        return obstacle
    if points.dtype != torch.float32:
        return f"its points are {points.dtype}, and the kernel takes float32"
    if not points.numel():
        return "it has no points"
    backward = differentiated(bank.rows, points)
    if backward and torch.are_deterministic_algorithms_enabled():
        return (
            "torch.use_deterministic_algorithms is on, and its backward pass adds up gradients in an order that changes"
        )
    from lors_det.ops.triton.sample import obstacle as obstacle_of_kernels

    sizes = (points.shape[2], points.shape[3], bank.rows.shape[-1] // points.shape[2])
    return obstacle_of_kernels(points.device, bank.rows.dtype, sizes, bank.strides, backward)


def _checked_groups(bank: FeatureBank, points: Tensor) -> int:
    num_groups, channels = points.shape[2], bank.rows.shape[-1]
    if channels % num_groups:
        raise ValueError(f"{channels} feature channels cannot be split into {num_groups} groups of points")
    if bank.rows.shape[0] != points.shape[0]:  # no len(), which an exported graph would take for a constant
        raise ValueError(f"a bank of {bank.rows.shape[0]} images came with points of {points.shape[0]}")
    return num_groups
