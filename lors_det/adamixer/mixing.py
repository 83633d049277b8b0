"""Adaptive mixing of sampled features, with shared weights and private residuals.

A stage's mixing needs three maps: two generators of kernels and an output projection. A :class:`MixingBase`
holds them at full rank; a :class:`Mixing` holds what is private to a stage, and is given a base when it is
called. It keeps no reference to it, so a base is stored once, whoever uses it.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from lors_det.lors import AdaptiveResidual, StaticResidual
from lors_det.ops import adaptive_mix

OutInit = Literal["xavier", "linear"]


class MixingBase(nn.Module):
    """Full-rank weights of adaptive mixing, for one stage or for several.

    channel: D -> G C C generates M, input channel first; spatial: D -> G O P generates S; out: G O C -> D.

    Starts with zero generator weights and torch's default biases, so the kernels do not depend on the query.

    Args:
        dim: D.
        num_groups: G; it divides D.
        num_points: P.
        num_out_points: O.
        out_bias: whether the output projection has a bias; a static residual brings its own.
        out_init: the output projection's weight: "xavier" uniform, as in AdaMixer, or torch's default for a
            "linear" layer, as in the published LORS model.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_groups: int,
        num_points: int,
        num_out_points: int,
        out_bias: bool = True,
        out_init: OutInit = "xavier",
    ) -> None:
        super().__init__()
        if dim % num_groups:
            raise ValueError(f"MixingBase: num_groups={num_groups} does not divide dim={dim}")
        if out_init not in ("xavier", "linear"):
            raise ValueError(f'MixingBase: out_init={out_init!r}; choose "xavier" or "linear"')
        group_dim = dim // num_groups
        self.num_groups = num_groups
        self.out_init = out_init
        self.channel = nn.Linear(dim, num_groups * group_dim * group_dim)
        self.spatial = nn.Linear(dim, num_groups * num_out_points * num_points)
        self.out = nn.Linear(num_groups * num_out_points * group_dim, dim, bias=out_bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for linear in (self.channel, self.spatial, self.out):
            linear.reset_parameters()
        nn.init.zeros_(self.channel.weight)
        nn.init.zeros_(self.spatial.weight)
        if self.out_init == "xavier":
            nn.init.xavier_uniform_(self.out.weight)


class Mixing(nn.Module):
    """A stage's adaptive mixing: LN(q + W flatten(mix(x; M(q), S(q))) + b).

    Args:
        dim: D.
        channel: residual of the generator of M, or None.
        spatial: residual of the generator of S, or None.
        out: residual of the output projection, or None.
    """

    def __init__(
        self,
        dim: int,
        *,
        channel: AdaptiveResidual | None = None,
        spatial: AdaptiveResidual | None = None,
        out: StaticResidual | None = None,
    ) -> None:
        super().__init__()
        self.channel = channel
        self.spatial = spatial
        self.out = out
        self.norm = nn.LayerNorm(dim)

    def forward(self, sampled: Tensor, content: Tensor, base: MixingBase) -> Tensor:
        """Mix sampled features into the content.

        Args:
            sampled: (B, Q, G, P, C).
            content: (B, Q, D).
            base: the full-rank weights.

        Returns:
            (B, Q, D).
        """
        num_groups, num_points, group_dim = sampled.shape[2:]
        channel = _kernels(content, base.channel, self.channel, (num_groups, group_dim, group_dim))
        spatial = _kernels(content, base.spatial, self.spatial, (num_groups, -1, num_points))
        mixed = adaptive_mix(sampled.to(channel.dtype), channel, spatial).flatten(2)
        projected = base.out(mixed) if self.out is None else self.out(mixed, base.out)
        return self.norm(content + projected)


def _kernels(
    content: Tensor, base: nn.Linear, residual: AdaptiveResidual | None, shape: tuple[int, int, int]
) -> Tensor:
    """Kernels of every query, (B, Q, *shape)."""
    return base(content).unflatten(-1, shape) if residual is None else residual(content, base)
