"""Static LORS: a private low-rank correction of an ordinary weight (LORS, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StaticResidual(nn.Module):
    """A stage's private correction of a shared linear map.

    y = x (W + up down)^T + bias, with W (out, in), down (K R, in), up (out, K R). K groups of rank R, the
    paper's sum over k of B_k A_k, are one group of rank K R.

    Starts equal to the base: ``up`` and ``bias`` are zero; ``down`` is Kaiming uniform (a = 0).

    Args:
        in_dim: features of x.
        out_dim: features of y.
        rank: R.
        num_groups: K.
    """

    def __init__(self, in_dim: int, out_dim: int, *, rank: int, num_groups: int = 1) -> None:
        super().__init__()
        for name, value in (("rank", rank), ("num_groups", num_groups)):
            if value < 1:
                raise ValueError(f"StaticResidual: {name}={value}; it must be at least 1")
        self.down = nn.Parameter(torch.empty(num_groups * rank, in_dim))
        self.up = nn.Parameter(torch.empty(out_dim, num_groups * rank))
        self.bias = nn.Parameter(torch.empty(out_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.down)
        nn.init.zeros_(self.up)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, base: nn.Linear) -> Tensor:
        """Map x (..., in) to (..., out) by the corrected base, which has no bias of its own."""
        private = F.linear(F.linear(x, self.down), self.up, self.bias)
        return F.linear(x, base.weight) + private

    def fold(self, base: nn.Linear) -> tuple[Tensor, Tensor]:
        """The dense weight (out, in) and bias (out,) of a linear layer that computes the same."""
        return torch.addmm(base.weight, self.up, self.down), self.bias
