"""Denoising queries: disturbed objects that the decoder is to restore, in training alone (DN-DETR; DINO)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lors_det.adamixer.geometry import xyxy_to_xyzr
from lors_det.adamixer.queries import QuerySets, QueryState
from lors_det.adamixer.spec_values import is_int, is_number
from lors_det.adamixer.target import Target

MIN_SIDE_PX = 1.0
"""Side of a disturbed box at least, pixels."""


class Denoising(nn.Module):
    """Queries made of an image's objects: their boxes disturbed, their contents those of their classes.

    There are ``num_groups`` sets of them, each of the n objects of an image, with n those of the batch's fullest image,
    and of n more queries that belong to none. Corners of the first are moved by less than ``box_noise`` of half the
    box's side, and these queries are to become the objects, without any matching (DN-DETR, section 4). Corners of the
    others are moved by between once and twice that, and they are to become nothing (DINO, section 3.3). Random boxes
    fill up the sets of images with fewer objects; no query attends to them, and no loss asks for what becomes of them,
    so that an image learns what it would by itself. Contents are learned, one for
    each class, and of a share ``label_noise`` of the queries any class's. Sets do not see each other, nor the queries
    that detect, which do not see them.

    Args:
        num_classes: N.
        dim: D.
        num_groups: sets, and fewer where they would have more than ``max_queries`` queries, but one at least.
        box_noise: share of half a side, above 0.
        label_noise: share of the queries, 0 to 1.
        max_queries: of all sets.

    Raises:
        ValueError: if a value is out of its range.
    """

    def __init__(
        self,
        num_classes: int,
        dim: int,
        *,
        num_groups: int = 5,
        box_noise: float = 0.4,
        label_noise: float = 0.25,
        max_queries: int = 500,
    ) -> None:
        super().__init__()
        for name, number in (("num_groups", num_groups), ("max_queries", max_queries)):
            if not is_int(number) or number < 1:
                raise ValueError(f"{name}={number!r}; it must be a positive integer")
        if not is_number(box_noise) or not 0 < box_noise <= 1:
            raise ValueError(f"box_noise={box_noise!r}; it must be above 0 and at most 1")
        if not is_number(label_noise) or not 0 <= label_noise <= 1:
            raise ValueError(f"label_noise={label_noise!r}; it must be from 0 to 1")
        self.num_groups, self.box_noise, self.label_noise = num_groups, box_noise, label_noise
        self.max_queries = max_queries
        self.content = nn.Parameter(torch.empty(num_classes, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.content)

    def forward(self, targets: Sequence[Target], image_sizes: Tensor) -> QuerySets:
        """Queries of a batch, (B, 2 n sets, ...); a batch without objects has n = 1.

        Args:
            targets: of each image.
            image_sizes: (B, 2), width and height before padding, pixels, float32 or float64.
        """
        most = max(1, *(len(target.labels) for target in targets))
        num_classes, dim = self.content.shape
        num_groups = max(1, min(self.num_groups, self.max_queries // (2 * most)))
        boxes = torch.stack(
            [
                torch.cat([target.boxes_xyxy.to(image_sizes), _random_boxes(most - len(target.labels), size)])
                for target, size in zip(targets, image_sizes)
            ]
        )  # (B, n, 4)
        labels = torch.stack([_padded(target.labels, most, num_classes) for target in targets]).to(boxes.device)
        boxes = boxes.repeat(1, 2 * num_groups, 1)
        # of each group the objects, then what belongs to none
        is_none = torch.arange(2 * num_groups, device=boxes.device).repeat_interleave(most) % 2
        distance = torch.rand_like(boxes) + is_none[:, None]
        sign = torch.randint_like(boxes, 2) * 2 - 1
        half = (boxes[..., 2:] - boxes[..., :2]).repeat(1, 1, 2) / 2
        labels = labels.repeat(1, 2 * num_groups)
        others = torch.randint_like(labels, num_classes)
        labels = torch.where(torch.rand_like(labels, dtype=torch.float32) < self.label_noise, others, labels)
        # a label that is no class is refused where costs are made, by all processes together
        content = F.layer_norm(self.content, (dim,))[labels.clamp(0, num_classes - 1)]
        moved = _upright(boxes + self.box_noise * sign * distance * half)
        index = torch.arange(most, device=boxes.device)
        # of an image without objects all attend to all, as a query has to attend to something
        absent = torch.stack([index >= (len(target.labels) or most) for target in targets]).repeat(1, 2 * num_groups)
        return QuerySets(QueryState(content, xyxy_to_xyzr(moved)), num_groups, absent)


def _padded(labels: Tensor, most: int, num_classes: int) -> Tensor:
    """(most,): the labels, and any after them."""
    more = torch.randint(num_classes, (most - len(labels),), device=labels.device, dtype=labels.dtype)
    return torch.cat([labels, more])


def _upright(boxes: Tensor) -> Tensor:
    """Boxes whose first corner is the upper left one again, and whose sides are not too short."""
    low, high = torch.minimum(boxes[..., :2], boxes[..., 2:]), torch.maximum(boxes[..., :2], boxes[..., 2:])
    return torch.cat([low, torch.maximum(high, low + MIN_SIDE_PX)], dim=-1)


def _random_boxes(number: int, size: Tensor) -> Tensor:
    """(number, 4), xyxy, anywhere in an image of this width and height."""
    corners = torch.rand(number, 4, device=size.device, dtype=size.dtype) * size.repeat(2)
    return _upright(corners)
