"""Static LORS: a private low-rank correction of an ordinary weight (LORS, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lors_det.lors.residual import (
    MakeOfStages,
    MakeResidual,
    Residual,
    checked_scale,
    checked_start,
    num_values,
    of_stage,
)


class StaticResidual(Residual):
    """A stage's private correction of a shared weight.

    W_i = W + up down, with W (out, in), down (K R, in), up (out, K R). K groups of rank R, the paper's sum over k of
    B_k A_k, are one group of rank K R. Beyond the paper, a convolution's weight is corrected as the matrix of its first
    dimension by all others, in = C_in / groups x height x width.

    Two values beyond the paper: W_i = diag(1 + gain) W + scale up down, with a gain of each output: a correction of
    full rank for ``out`` numbers.

    Starts equal to the base: ``up`` and ``gain`` are zero; ``down`` is Kaiming uniform (a = 0). With a ``start``,
    ``up`` is uniform instead, such that the correction has start^2 times the variance of Xavier's start,
    2 / (in + out). A residual that is ``alone`` has no base, so no gain, and is the whole weight: its start is 1.

    Args:
        shape: (out, in) of the weight, or (out, ...).
        rank: R.
        num_groups: K.
        alone: whether there is no base.
        scale: of the product. AdamW moves the factors alike whatever it is, so it is a learning rate of the product.
        gain: whether there is one.
        start: standard deviation of the correction at the start, in units of that of a weight of the stage's own.

    Raises:
        ValueError: if a number is less than 1, or the weight has one dimension.
    """

    def __init__(
        self,
        shape: torch.Size,
        *,
        rank: int,
        num_groups: int = 1,
        alone: bool = False,
        scale: float = 1.0,
        gain: bool = False,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (("rank", rank), ("num_groups", num_groups)):
            if value < 1:
                raise ValueError(f"StaticResidual: {name}={value}; it must be at least 1")
        if len(shape) < 2:
            raise ValueError(f"StaticResidual corrects matrices, and the weight is {tuple(shape)}")
        out_dim, in_dim = shape[0], math.prod(shape[1:])
        self.shape = torch.Size(shape)
        self.alone, self.scale, self.start = alone, checked_scale(scale), checked_start(start, alone=alone)
        self.down = nn.Parameter(torch.empty(num_groups * rank, in_dim))
        self.up = nn.Parameter(torch.empty(out_dim, num_groups * rank))
        self.gain = nn.Parameter(torch.empty(out_dim)) if gain and not alone else None
        self.reset_parameters()

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        """Of what it corrects."""
        return (self.shape,)

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.down)
        nn.init.zeros_(self.up)
        if self.gain is not None:
            nn.init.zeros_(self.gain)
        if self.start:  # scale^2 Var(up) K R Var(down) = start^2 2 / (in + out), with Var(down) = 2 / in
            (rank, in_dim), out_dim = self.down.shape, len(self.up)
            bound = self.start * math.sqrt(3 * in_dim / (rank * (in_dim + out_dim))) / self.scale
            nn.init.uniform_(self.up, -bound, bound)

    def forward(self, *parameters: Tensor | None) -> tuple[Tensor, ...]:
        """The corrected weight, (out, in) or (out, ...), given the base's; alone, that is None."""
        (weight,) = parameters
        if weight is None:
            product = self.up @ self.down
            return ((product if self.scale == 1 else self.scale * product).view(self.shape),)
        weight = weight.flatten(1)
        if self.gain is not None:
            weight = torch.addcmul(weight, weight, self.gain[:, None])
        return (torch.addmm(weight, self.up, self.down, alpha=self.scale).view(self.shape),)

    @torch.no_grad()
    def fit(self, *corrections: Tensor) -> None:
        """Truncated singular value decomposition, the roots of the values in both factors (Eckart and Young, 1936).

        A gain becomes zero: the correction is what has to be added to the base as it is.
        """
        (correction,) = corrections
        if self.gain is not None:
            self.gain.zero_()
        rank = self.up.shape[1]
        left, values, right = torch.linalg.svd(correction.flatten(1).double() / self.scale, full_matrices=False)
        roots = values[:rank].sqrt()
        for factor, fitted in ((self.up.T, (left[:, :rank] * roots).T), (self.down, roots[:, None] * right[:rank])):
            factor.zero_()  # rows beyond the smaller side stay so
            factor[: len(fitted)] = fitted


def static(
    *,
    rank: int | Sequence[int],
    num_groups: int | Sequence[int] | None = None,
    scale: float = 1.0,
    gain: bool = False,
    start: float = 0.0,
) -> MakeResidual:
    """Makes a stage's :class:`StaticResidual`.

    Args:
        rank: R, or that of each stage.
        num_groups: K, or that of each stage; one by default.
        scale: see the class.
        gain: likewise.
        start: likewise.

    Raises:
        ValueError: if a rank or K is no whole number, nor one for each stage.
    """
    num_stages = num_values(rank=rank, num_groups=num_groups)

    def make(shapes: tuple[torch.Size, ...], stage: int, alone: bool) -> StaticResidual:
        if len(shapes) != 1:
            raise ValueError(f"a static residual corrects one weight, and the name stands for {len(shapes)} parameters")
        groups = 1 if num_groups is None else of_stage(num_groups, stage)
        own = of_stage(rank, stage)
        return StaticResidual(shapes[0], rank=own, num_groups=groups, alone=alone, scale=scale, gain=gain, start=start)

    return MakeOfStages(make, num_stages)
