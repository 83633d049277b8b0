"""Classification losses of queries: a class's score towards 1 at a matched query, or towards how well its box fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

ClassLoss = Literal["focal", "varifocal", "matchability"]
"""Which one, see :data:`CLASS_LOSSES`."""

ALPHA, GAMMA = 0.25, 2.0
"""Focal loss: weight of positives, and focusing exponent."""

VARIFOCAL_ALPHA, VARIFOCAL_GAMMA = 0.75, 2.0
"""Varifocal loss: weight of negatives, and their focusing exponent."""

MATCHABILITY_GAMMA = 1.5
"""Matchability-aware loss: exponent of the quality, and of negatives."""


def focal(logits: Tensor, positive: Tensor, quality: Tensor) -> Tensor:
    """Focal loss (Lin et al., 2017), as published for AdaMixer: the target of a matched class is 1, whatever its box.

    Args:
        logits: before the sigmoid, p.
        positive: 1 where a query is matched to an object of the class, else 0.
        quality: IoU of the matched box with the object's, q; 0 elsewhere.

    Returns:
        The loss of each entry.
    """
    loss: Tensor = sigmoid_focal_loss(logits, positive, alpha=ALPHA, gamma=GAMMA)
    return loss


def varifocal(logits: Tensor, positive: Tensor, quality: Tensor) -> Tensor:
    """Varifocal loss (Zhang et al., 2021, equation 2): q BCE(p, q) where q > 0, alpha p^gamma BCE(p, 0) elsewhere.

    The weight carries no gradient, as in detectors of queries that learn by it (RT-DETR, 2024); with one, as in
    VarifocalNet, negatives are pushed down up to three times as much.
    """
    weight = torch.where(quality > 0, quality, VARIFOCAL_ALPHA * logits.detach().sigmoid() ** VARIFOCAL_GAMMA)
    return weight * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def matchability(logits: Tensor, positive: Tensor, quality: Tensor) -> Tensor:
    """Matchability-aware loss (DEIM, 2025, equation 4): BCE(p, q^gamma) where matched, p^gamma BCE(p, 0) elsewhere.

    A poor match is not passed over, as varifocal's weight q does: its score is pushed down. The weight carries no
    gradient.
    """
    weight = positive + (1 - positive) * logits.detach().sigmoid() ** MATCHABILITY_GAMMA
    return weight * F.binary_cross_entropy_with_logits(logits, quality**MATCHABILITY_GAMMA, reduction="none")


CLASS_LOSSES: dict[ClassLoss, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "focal": focal,
    "varifocal": varifocal,
    "matchability": matchability,
}
