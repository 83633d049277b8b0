"""Static LORS: a private low-rank correction of an ordinary weight (LORS, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lors_det.lors.residual import MakeResidual, Residual


class StaticResidual(Residual):
    """A stage's private correction of a shared weight.

    W_i = W + up down, with W (out, in), down (K R, in), up (out, K R). K groups of rank R, the paper's sum over k of
    B_k A_k, are one group of rank K R.

    Starts equal to the base: ``up`` is zero; ``down`` is Kaiming uniform (a = 0). A residual that is ``alone`` has no
    base and is the whole weight: its ``up`` starts uniform, such that up down has the variance of Xavier's start.

    Args:
        shape: (out, in) of the weight.
        rank: R.
        num_groups: K.
        alone: whether there is no base.

    Raises:
        ValueError: if a number is less than 1, or the weight is no matrix.
    """

    def __init__(self, shape: torch.Size, *, rank: int, num_groups: int = 1, alone: bool = False) -> None:
        super().__init__()
        for name, value in (("rank", rank), ("num_groups", num_groups)):
            if value < 1:
                raise ValueError(f"StaticResidual: {name}={value}; it must be at least 1")
        if len(shape) != 2:
            raise ValueError(f"StaticResidual corrects matrices, and the weight is {tuple(shape)}")
        out_dim, in_dim = shape
        self.alone = alone
        self.down = nn.Parameter(torch.empty(num_groups * rank, in_dim))
        self.up = nn.Parameter(torch.empty(out_dim, num_groups * rank))
        self.reset_parameters()

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        """Of what it corrects."""
        return (torch.Size((len(self.up), self.down.shape[1])),)

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.down)
        nn.init.zeros_(self.up)
        if self.alone:  # Var(up) K R Var(down) = 2 / (in + out), with Var(down) = 2 / in
            (rank, in_dim), out_dim = self.down.shape, len(self.up)
            bound = math.sqrt(3 * in_dim / (rank * (in_dim + out_dim)))
            nn.init.uniform_(self.up, -bound, bound)

    def forward(self, *parameters: Tensor | None) -> tuple[Tensor, ...]:
        """The corrected weight, (out, in), given the base's; alone, that is None."""
        (weight,) = parameters
        return (self.up @ self.down if weight is None else torch.addmm(weight, self.up, self.down),)


def static(*, rank: int, num_groups: Sequence[int] | None = None) -> MakeResidual:
    """Makes a stage's :class:`StaticResidual`; ``num_groups`` is K of each stage, one by default."""

    def make(shapes: tuple[torch.Size, ...], stage: int, alone: bool) -> StaticResidual:
        if len(shapes) != 1:
            raise ValueError(f"a static residual corrects one weight, and the name stands for {len(shapes)} parameters")
        groups = 1 if num_groups is None else num_groups[stage]
        return StaticResidual(shapes[0], rank=rank, num_groups=groups, alone=alone)

    return make
