"""The same decoder in plain operations: what its speed is compared with.

Plain means written as the papers write it, with the batched operations of torch and no thought for memory: each level
is sampled by itself, each residual's kernels are made for every query, the corrected projection is formed in every
call, and every stage classifies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lors_det.adamixer import Decoder, QueryState, StageOutput
from lors_det.lors import AdaptiveResidual, StaticResidual
from lors_det.ops import adaptive_mix_reference
from lors_det.ops.sampling import level_weights


@dataclass(frozen=True)
class PlainBank:
    """The levels as they come from the neck."""

    levels: tuple[Tensor, ...]
    strides: tuple[int, ...]

    @classmethod
    def from_levels(cls, levels: Sequence[Tensor], strides: Sequence[int]) -> PlainBank:
        return cls(tuple(level if level.dtype == torch.float64 else level.float() for level in levels), tuple(strides))


def plain_sample(bank: PlainBank, points: Tensor) -> Tensor:
    """One ``grid_sample`` a level, see :func:`lors_det.ops.sample_3d_reference`."""
    num_images, num_queries, num_groups, num_points, _ = points.shape
    scale = level_weights(points[..., 2], bank.strides)
    by_group = points[..., :2].transpose(1, 2).flatten(0, 1)
    total = points.new_zeros(())
    for level, (feature, stride) in enumerate(zip(bank.levels, bank.strides)):
        height, width = feature.shape[2:]
        grid = by_group / points.new_tensor([width * stride, height * stride]) * 2 - 1
        feature = feature.reshape(num_images * num_groups, -1, height, width)
        sampled = F.grid_sample(feature, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        sampled = sampled.view(num_images, num_groups, -1, num_queries, num_points).permute(0, 3, 1, 4, 2)
        total = total + sampled * scale[..., level, None]
    return total


def plain_adaptive(residual: AdaptiveResidual, query: Tensor, base: nn.Linear | None) -> Tensor:
    """Kernels of the base and of each residual, stacked, then summed."""
    num_groups, num_residuals, rows, rank = residual.left.shape
    core = residual.core(query).unflatten(-1, (num_groups, num_residuals, rank, rank))
    kernels = residual.left @ core @ residual.right  # (..., G, K, rows, columns)
    if base is not None:
        kernels = torch.cat([base(query).unflatten(-1, (num_groups, 1, rows, -1)), kernels], dim=-3)
    return kernels.sum(-3)


def plain_static(residual: StaticResidual, x: Tensor, base: nn.Linear | None) -> Tensor:
    """By the corrected weight, formed anew."""
    weight = residual.up @ residual.down
    return F.linear(x, weight if base is None else base.weight + weight, residual.bias)


def plain_predict(decoder: Decoder, levels: Sequence[Tensor], state: QueryState) -> StageOutput:
    return decoder(levels, state)[-1]


@contextmanager
def plain_operations() -> Iterator[None]:
    """Inside, every decoder runs in plain operations."""
    replacements = {
        "lors_det.adamixer.decoder.FeatureBank": PlainBank,
        "lors_det.adamixer.stage.sample_3d": plain_sample,
        "lors_det.adamixer.mixing.adaptive_mix": adaptive_mix_reference,
        "lors_det.lors.AdaptiveResidual.forward": plain_adaptive,
        "lors_det.lors.StaticResidual.forward": plain_static,
        "lors_det.adamixer.Decoder.predict": plain_predict,
    }
    with ExitStack() as stack:
        for target, replacement in replacements.items():
            stack.enter_context(mock.patch(target, replacement))
        yield
