"""Queries that start at what looks like an object in the features: two-stage selection of positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from lors_det.adamixer.geometry import at_least_float32, refine, xyzr_to_xyxy
from lors_det.adamixer.queries import QueryState
from lors_det.adamixer.stage import CLASS_PRIOR, StageOutput

ANCHOR_CELLS = 4
"""Side of the box that a cell starts from, in cells."""

CLASS_STD = 0.01
"""Standard deviation of the classifier's first weights: cells differ, and none looks like an object yet."""


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
        """Xavier uniform; cells start with nearly the focal loss's prior, and with their square boxes unmoved."""
        embed, hidden, regress = (cast(nn.Linear, layer) for layer in (self.embed[0], self.regress[0], self.regress[2]))
        for layer in (embed, hidden):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.normal_(self.classify.weight, std=CLASS_STD)
        nn.init.zeros_(regress.weight)
        for layer in (embed, hidden, regress):
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.classify.bias, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))

    def forward(
        self, levels: Sequence[Tensor], state: QueryState, image_sizes: Tensor
    ) -> tuple[QueryState, StageOutput]:
        """The queries at the chosen cells' boxes, and what these cells predict, to learn from.

        Args:
            levels: feature maps (B, D, H_l, W_l), one for each stride.
            state: the queries; their positions are not read.
            image_sizes: (B, 2), width and height before padding, pixels, float32 or float64.

        Returns:
            The queries, and the output of min(Q, M) cells, each of which is there once; M are all that there are, and
            ``absent`` tells which of them are beyond their image.

        Raises:
            ValueError: if the features are of another width or number of levels.
        """
        self._check(levels)
        used = slice(1 if len(self.strides) > 1 else 0, None)
        features = torch.cat([level.flatten(2).transpose(1, 2) for level in levels[used]], dim=1)  # (B, M, D)
        cells = [_cells(level, stride) for level, stride in zip(levels[used], self.strides[used])]
        corners, anchors = (torch.cat(parts).to(image_sizes) for parts in zip(*cells))  # (M, 2), (M, 4)
        outside = (corners >= image_sizes[:, None]).any(-1)  # (B, M)
        scores = self._scores(features.detach()).masked_fill(outside, -math.inf)
        num_queries = state.content.shape[1]
        index = scores.topk(min(num_queries, len(anchors))).indices  # (B, K)
        best = self.embed(features.gather(1, index[..., None].expand(-1, -1, features.shape[-1])))
        xyzr = refine(anchors[index], self.regress(best))
        # of each image's own cells, one after the other and again from the best on
        num_inside = (len(anchors) - outside.sum(-1, keepdim=True)).clamp(max=index.shape[1])
        order = torch.arange(num_queries, device=index.device)
        turn = order % num_inside  # (B, Q)
        positions = QueryState(state.content, xyzr.detach().gather(1, turn[..., None].expand(-1, -1, 4)))
        boxes = at_least_float32(xyzr_to_xyxy(xyzr))
        absent = order[: index.shape[1]] >= num_inside  # what is masked comes last of the best
        return positions, StageOutput(self.classify(best), boxes, QueryState(best, xyzr), absent=absent)

    def _scores(self, features: Tensor) -> Tensor:
        """Best class's logit of each cell, (B, M) float32, without gradients: of most cells none is needed.

        By detached weights: autocast may keep the narrow copies of those that it meets, and what is computed from
        them afterwards would pass no gradient on.
        """
        weights = {name: weight.detach() for name, weight in self.embed.named_parameters()}
        embedded = functional_call(self.embed, weights, (features,))
        return F.linear(embedded, self.classify.weight.detach(), self.classify.bias.detach()).amax(-1).float()

    def _check(self, levels: Sequence[Tensor]) -> None:
        dim = self.classify.in_features
        if len(levels) != len(self.strides):
            raise ValueError(f"{len(levels)} feature levels came with {len(self.strides)} strides; they must be equal")
        if levels[0].shape[1] != dim:
            raise ValueError(
                f"features of {levels[0].shape[1]} channels came to a selection of dim={dim}; make them equal"
            )


def _cells(level: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Upper left corners of a level's cells, row by row, (H W, 2), and square boxes around their centres, xyzr."""
    height, width = (torch.arange(length, device=level.device) * float(stride) for length in level.shape[-2:])
    corners = torch.cartesian_prod(height, width).flip(-1)
    z = torch.full_like(corners[:, :1], math.log2(ANCHOR_CELLS * stride))
    return corners, torch.cat([corners + stride / 2, z, torch.zeros_like(z)], dim=-1)
