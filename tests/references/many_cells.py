"""A level of more cells than float32 counts, 2^24, which one of stride 4 has in an image of 16 400 pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from lors_det.ops import FeatureBank

SIDE = 5001


def many_cells(device: torch.device | str = "cpu") -> tuple[FeatureBank, Tensor, Tensor]:
    """Cells that hold their column's number, points at centres of five of them, and what is read there."""
    numbers = torch.arange(float(SIDE), device=device)
    bank = FeatureBank.from_levels([numbers.expand(1, 1, SIDE, SIDE)], (4,))
    columns = numbers[4001:4006]
    row = torch.full_like(columns, SIDE - 3)
    points = torch.stack([(columns + 0.5) * 4, (row + 0.5) * 4, torch.full_like(columns, 2.0)], dim=-1)
    return bank, points.view(1, 1, 1, 5, 3), columns.view(1, 1, 1, 5, 1)
