"""Adaptive mixing of sampled features, with shared weights and private residuals.

A stage's mixing needs three maps: two generators of kernels and an output projection. A :class:`StageBase`
holds them at full rank; a :class:`Mixing` holds what is private to a stage, and is given a base when it is
called. It keeps no reference to it, so a base is stored once, whoever uses it.
"""

from __future__ import annotations

from torch import Tensor, nn

from lors_det.adamixer.base import StageBase, part
from lors_det.lors import AdaptiveResidual, StaticResidual
from lors_det.ops import adaptive_mix


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

    def forward(self, sampled: Tensor, content: Tensor, base: StageBase | None) -> Tensor:
        """Mix sampled features into the content.

        Args:
            sampled: (B, Q, G, P, C).
            content: (B, Q, D).
            base: the full-rank weights; None where the residuals are alone.

        Returns:
            (B, Q, D).
        """
        num_groups, num_points, group_dim = sampled.shape[2:]
        channel = _kernels(content, part(base, "channel"), self.channel, (num_groups, group_dim, group_dim))
        spatial = _kernels(content, part(base, "spatial"), self.spatial, (num_groups, -1, num_points))
        mixed = adaptive_mix(sampled.to(channel.dtype), channel, spatial).flatten(2)
        refined: Tensor = self.norm(content + self._projected(mixed, part(base, "out")))
        return refined

    def _projected(self, mixed: Tensor, base: nn.Linear | None) -> Tensor:
        """(B, Q, G O C) -> (B, Q, D)."""
        if self.out is not None:
            projected: Tensor = self.out(mixed, base)
        else:
            assert base is not None  # only residuals are ever alone
            projected = base(mixed)
        return projected


def _kernels(
    content: Tensor, base: nn.Linear | None, residual: AdaptiveResidual | None, shape: tuple[int, int, int]
) -> Tensor:
    """Kernels of every query, (B, Q, *shape)."""
    if residual is not None:
        kernels: Tensor = residual(content, base)
    else:
        assert base is not None  # only residuals are ever alone
        kernels = base(content).unflatten(-1, shape)
    return kernels
