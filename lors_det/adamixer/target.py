"""Ground truth of an image."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Target(NamedTuple):
    """Objects of an image.

    Attributes:
        boxes_xyxy: (n, 4), pixels of the network's input.
        labels: (n,), int64.
    """

    boxes_xyxy: Tensor
    labels: Tensor
