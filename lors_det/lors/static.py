"""Static LORS: a private low-rank correction of an ordinary weight (LORS, section 3.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StaticResidual(nn.Module):
    """A stage's private correction of a shared linear map.

    y = x (W + up down)^T + bias, with W (out, in), down (K R, in), up (out, K R). K groups of rank R, the
    paper's sum over k of B_k A_k, are one group of rank K R.

    Starts equal to the base: ``up`` and ``bias`` are zero; ``down`` is Kaiming uniform (a = 0). A residual that is
    ``alone`` has no base and is the whole weight: its ``up`` starts uniform, such that up down has the variance of
    Xavier's start.

    Args:
        in_dim: features of x.
        out_dim: features of y.
        rank: R.
        num_groups: K.
        alone: whether there is no base.
    """

    def __init__(self, in_dim: int, out_dim: int, *, rank: int, num_groups: int = 1, alone: bool = False) -> None:
        super().__init__()
        for name, value in (("rank", rank), ("num_groups", num_groups)):
            if value < 1:
                raise ValueError(f"StaticResidual: {name}={value}; it must be at least 1")
        self.alone = alone
        self.down = nn.Parameter(torch.empty(num_groups * rank, in_dim))
        self.up = nn.Parameter(torch.empty(out_dim, num_groups * rank))
        self.bias = nn.Parameter(torch.empty(out_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.down)
        nn.init.zeros_(self.bias)
        nn.init.zeros_(self.up)
        if self.alone:  # Var(up) K R Var(down) = 2 / (in + out), with Var(down) = 2 / in
            (rank, in_dim), out_dim = self.down.shape, len(self.up)
            bound = math.sqrt(3 * in_dim / (rank * (in_dim + out_dim)))
            nn.init.uniform_(self.up, -bound, bound)

    def forward(self, x: Tensor, base: nn.Linear | None) -> Tensor:
        """Map x (..., in) to (..., out) by the corrected base, which has no bias of its own; alone, base is None."""
        private = F.linear(F.linear(x, self.down), self.up, self.bias)
        return private if base is None else F.linear(x, base.weight) + private

    def fold(self, base: nn.Linear | None) -> tuple[Tensor, Tensor]:
        """The dense weight (out, in) and bias (out,) of a linear layer that computes the same."""
        weight = self.up @ self.down if base is None else torch.addmm(base.weight, self.up, self.down)
        return weight, self.bias


def linear(in_dim: int, out_dim: int, *, static_rank: int) -> nn.Linear | StaticResidual:
    """A stage's linear layer: its own (rank 0), or its residual on one that stages share."""
    return StaticResidual(in_dim, out_dim, rank=static_rank) if static_rank else nn.Linear(in_dim, out_dim)


def corrected(x: Tensor, layer: nn.Module, base: nn.Linear | None) -> Tensor:
    """Apply what :func:`linear` made; ``base`` is read by a residual only."""
    y: Tensor = layer(x, base) if isinstance(layer, StaticResidual) else layer(x)
    return y
