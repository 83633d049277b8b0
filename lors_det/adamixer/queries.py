"""What enters the first stage: learned content, and a position that covers the whole image."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lors_det.adamixer.geometry import whole_image_xyzr


class QueryState(NamedTuple):
    """Queries between two stages.

    Attributes:
        content: (B, Q, D).
        xyzr: (B, Q, 4), at least float32.
    """

    content: Tensor
    xyzr: Tensor


class InitialQueries(nn.Module):
    """Learned content (Q, D), normalised without affine weights; the position is the whole image.

    Content starts as N(0, 1). The position is not learned: it follows from the image's size alone.

    Args:
        num_queries: Q.
        dim: D.
    """

    def __init__(self, num_queries: int, dim: int) -> None:
        super().__init__()
        self.content = nn.Parameter(torch.empty(num_queries, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.content)

    def forward(self, image_sizes: Tensor) -> QueryState:
        """Queries of a batch.

        Args:
            image_sizes: (B, 2), width and height of each image before padding, pixels, float32 or float64.
        """
        num_queries, dim = self.content.shape
        content = F.layer_norm(self.content, (dim,)).expand(len(image_sizes), -1, -1)
        xyzr = whole_image_xyzr(image_sizes)[:, None].expand(-1, num_queries, -1)
        return QueryState(content, xyzr)
