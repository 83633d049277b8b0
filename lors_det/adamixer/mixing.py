"""Adaptive mixing of sampled features by kernels that the content generates (AdaMixer, section 3.3)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lors_det.ops import adaptive_mix

OutInit = Literal["xavier", "linear"]


class Mixing(nn.Module):
    """LN(q + W flatten(mix(x; M(q), S(q))) + b), with M and S linear maps of the content q.

    channel: D -> G C C generates M, input channel first; spatial: D -> G O P generates S; out: G O C -> D is W, b.

    Starts with zero generator weights and torch's default biases, so the kernels do not depend on the content.

    Args:
        dim: D.
        num_groups: G; it divides D.
        num_points: P.
        num_out_points: O.
        out_init: the weight of ``out``: "xavier" uniform, as in AdaMixer, or torch's default for a "linear" layer, as
            in the published LORS model.
    """

    def __init__(
        self, dim: int, *, num_groups: int, num_points: int, num_out_points: int, out_init: OutInit = "xavier"
    ) -> None:
        super().__init__()
        if dim % num_groups:
            raise ValueError(f"Mixing: num_groups={num_groups} does not divide dim={dim}")
        if out_init not in ("xavier", "linear"):
            raise ValueError(f'Mixing: out_init={out_init!r}; choose "xavier" or "linear"')
        group_dim = dim // num_groups
        self.num_groups = num_groups
        self.out_init = out_init
        self.channel = nn.Linear(dim, num_groups * group_dim * group_dim)
        self.spatial = nn.Linear(dim, num_groups * num_out_points * num_points)
        self.out = nn.Linear(num_groups * num_out_points * group_dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for linear in (self.channel, self.spatial, self.out):
            linear.reset_parameters()
        nn.init.zeros_(self.channel.weight)
        nn.init.zeros_(self.spatial.weight)
        if self.out_init == "xavier":
            nn.init.xavier_uniform_(self.out.weight)

    def forward(self, sampled: Tensor, content: Tensor) -> Tensor:
        """Mix sampled features (B, Q, G, P, C) into the content (B, Q, D)."""
        num_points, group_dim = sampled.shape[3:]
        channel = self.channel(content).unflatten(-1, (self.num_groups, group_dim, group_dim))
        spatial = self.spatial(content).unflatten(-1, (self.num_groups, -1, num_points))
        mixed = adaptive_mix(sampled.to(channel.dtype), channel, spatial).flatten(2)
        refined: Tensor = self.norm(content + self.out(mixed))
        return refined
