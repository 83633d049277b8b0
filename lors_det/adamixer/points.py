"""Where a query looks: the points that each of its channel groups samples (AdaMixer, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lors_det.adamixer.geometry import at_least_float32, box_sizes, grid_offsets


class SamplingPoints(nn.Module):
    """Generates 3-D sampling points from content, relative to the query's box.

    x = x_q + ox w_q, y = y_q + oy h_q, z = z_q + oz, with offsets (G, P, 3) = Linear(content), group-major.

    Starts independent of the content: oz = -1; (ox, oy) on a grid over the box where P is a square number,
    else uniform in (-0.5, 0.5).

    Args:
        dim: D.
        num_groups: G.
        num_points: P.
    """

    def __init__(self, dim: int, *, num_groups: int, num_points: int) -> None:
        super().__init__()
        self.num_groups = num_groups
        self.offsets = nn.Linear(dim, num_groups * num_points * 3)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.offsets.weight)
        with torch.no_grad():
            bias = self.offsets.bias.view(self.num_groups, -1, 3)
            nn.init.uniform_(bias[..., :2], -0.5, 0.5)
            grid = grid_offsets(bias.shape[1])
            if grid is not None:
                bias[..., :2] = grid
            bias[..., 2] = -1.0

    def forward(self, content: Tensor, xyzr: Tensor) -> Tensor:
        """Points of each query.

        Args:
            content: (B, Q, D).
            xyzr: (B, Q, 4), at least float32.

        Returns:
            (B, Q, G, P, 3): (x, y) in pixels, z = log2 of pixels; at least float32.
        """
        offsets = at_least_float32(self.offsets(content))
        offsets = offsets.unflatten(-1, (self.num_groups, -1, 3))
        box = xyzr[:, :, None, None]
        xy = box[..., :2] + offsets[..., :2] * box_sizes(box)
        return torch.cat([xy, box[..., 2:3] + offsets[..., 2:]], dim=-1)
