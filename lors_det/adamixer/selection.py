"""Queries that start at what looks like an object in the features: two-stage selection of positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lors_det.adamixer.geometry import at_least_float32, refine, xyzr_to_xyxy
from lors_det.adamixer.queries import QueryState
from lors_det.adamixer.stage import CLASS_PRIOR, StageOutput

ANCHOR_CELLS = 4
"""Side of the box that a cell starts from, in cells."""


class QuerySelection(nn.Module):
    """The Q cells that most look like objects give the queries' positions; contents stay learned.

    Every cell of every level but the finest, which has three quarters of all cells, is classified, and moves a square
    box around its centre; by their best class, the Q best cells in which there is image are taken, best first
    (Deformable DETR, section 4.2; contents as in DINO, section 3.4). Where there are fewer cells than queries, the
    queries share them in turn. No gradient flows from the positions: cells learn from a matching of their own.

    Args:
        num_classes: N.
        dim: D.
        strides: s_l of the feature levels, pixels, from the finest on.
    """

    def __init__(self, num_classes: int, dim: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.embed = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim))
        self.classify = nn.Linear(dim, num_classes)
        self.regress = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(inplace=True), nn.Linear(dim, 4))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier uniform; every cell starts with the focal loss's prior, and with its square box unmoved."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        nn.init.constant_(self.classify.bias, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))
        last = self.regress[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)

    def forward(
        self, levels: Sequence[Tensor], state: QueryState, image_sizes: Tensor
    ) -> tuple[QueryState, StageOutput]:
        """The queries at the chosen cells' boxes, and what these cells predict, to learn from.

        Args:
            levels: feature maps (B, D, H_l, W_l), one for each stride.
            state: the queries; their positions are not read.
            image_sizes: (B, 2), width and height before padding, pixels, float32 or float64.
        """
        used = slice(1 if len(self.strides) > 1 else 0, None)
        features = torch.cat([level.flatten(2).transpose(1, 2) for level in levels[used]], dim=1)  # (B, M, D)
        cells = [_cells(level, stride) for level, stride in zip(levels[used], self.strides[used])]
        corners, anchors = (torch.cat(parts).to(image_sizes) for parts in zip(*cells))  # (M, 2), (M, 4)
        outside = (corners >= image_sizes[:, None]).any(-1)  # (B, M)
        with torch.no_grad():  # those that are not chosen learn nothing, and need not be kept
            scores = self.classify(self.embed(features)).amax(-1).float().masked_fill(outside, -math.inf)
        index = _best(scores, len(anchors) - outside.sum(-1), state.content.shape[1])
        best = self.embed(features.gather(1, index[..., None].expand(-1, -1, features.shape[-1])))
        xyzr = refine(anchors[index], self.regress(best))
        positions = QueryState(state.content, xyzr.detach())
        return positions, StageOutput(self.classify(best), at_least_float32(xyzr_to_xyxy(xyzr)), positions)


def _cells(level: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Upper left corners of a level's cells, row by row, (H W, 2), and square boxes around their centres, xyzr."""
    height, width = (torch.arange(length, device=level.device) * float(stride) for length in level.shape[-2:])
    corners = torch.cartesian_prod(height, width).flip(-1)
    z = torch.full_like(corners[:, :1], math.log2(ANCHOR_CELLS * stride))
    return corners, torch.cat([corners + stride / 2, z, torch.zeros_like(z)], dim=-1)


def _best(scores: Tensor, valid: Tensor, num_queries: int) -> Tensor:
    """Indices (B, Q) of the best scores (B, M), of which each image has ``valid``, (B,), again from the best on."""
    order = scores.topk(min(num_queries, scores.shape[1])).indices
    turn = torch.arange(num_queries, device=scores.device) % valid.clamp(max=order.shape[1])[:, None]
    return order.gather(1, turn)
