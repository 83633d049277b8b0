"""Adaptive LORS: a private low-rank correction of kernels that a query generates (LORS, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

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
from lors_det.lors.shapes import in_words

FactorInit = Literal["stacked", "matrix"]


class AdaptiveResidual(Residual):
    """A stage's private correction of a shared linear map q -> W q + b that generates G kernels.

    kernel_g(q) = base_g(q) + sum_k left_gk E_gk(q) right_gk, with E(q) = core(q), a linear map of the query. Because E
    is linear in q, so is the residual, and it corrects the map's weight and bias exactly:

    W_i = W + sum_k (left_k kron right_k^T) core_k.weight, and b likewise with core_k.bias.

    Two values beyond the paper: kernel_g(q) = diag(1 + gain_g) base_g(q) + scale sum_k left_gk E_gk(q) right_gk, with a
    gain of each of a kernel's rows: a correction of full rank for G rows numbers.

    Starts equal to the base: ``core`` and ``gain`` are zero; ``left`` and ``right`` are Kaiming uniform (a = 0). With a
    ``start``, the bias of ``core`` is uniform, such that the correction of the kernels, the same for every query, has
    start^2 times the variance of a base's kernels, 1 / (3 D). A residual that is ``alone`` has no base, so no gain, and
    is the whole map: its start is 1, as at zero no gradient would ever pass the kernels.

    Args:
        query_dim: D.
        kernel_shape: (rows, columns) of one kernel: (C, C) for channels, (O, P) for points.
        num_groups: G.
        rank: R.
        num_residuals: K.
        factor_init: what ``kaiming_uniform_`` sees of a factor: "stacked", the (G K, rows, columns) tensor,
            whose fan-in is rows * columns, as in the published model, or "matrix", each (rows, columns) matrix
            by itself, whose fan-in is columns and which therefore starts larger.
        alone: whether there is no base.
        scale: of the sum. AdamW moves the factors alike whatever it is, so it is a learning rate of the sum.
        gain: whether there is one.
        start: standard deviation of the correction at the start, in units of that of kernels of the stage's own.

    Shapes: left (G, K, rows, R), right (G, K, R, columns), core D -> G K R R, gain (G, rows).
    """

    def __init__(
        self,
        query_dim: int,
        kernel_shape: tuple[int, int],
        *,
        num_groups: int,
        rank: int,
        num_residuals: int,
        factor_init: FactorInit = "stacked",
        alone: bool = False,
        scale: float = 1.0,
        gain: bool = False,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (("rank", rank), ("num_residuals", num_residuals)):
            if value < 1:
                raise ValueError(f"AdaptiveResidual: {name}={value}; it must be at least 1")
        if factor_init not in ("stacked", "matrix"):
            raise ValueError(f'AdaptiveResidual: factor_init={factor_init!r}; choose "stacked" or "matrix"')
        rows, columns = kernel_shape
        self.factor_init = factor_init
        self.alone, self.scale, self.start = alone, checked_scale(scale), checked_start(start, alone=alone)
        self.left = nn.Parameter(torch.empty(num_groups, num_residuals, rows, rank))
        self.right = nn.Parameter(torch.empty(num_groups, num_residuals, rank, columns))
        self.core = nn.Linear(query_dim, num_groups * num_residuals * rank * rank)
        self.gain = nn.Parameter(torch.empty(num_groups, rows)) if gain and not alone else None
        self.reset_parameters()

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        """Of the weight and the bias that it corrects."""
        out_dim = self.left.shape[0] * self.left.shape[2] * self.right.shape[3]
        return torch.Size((out_dim, self.core.in_features)), torch.Size((out_dim,))

    def reset_parameters(self) -> None:
        fan_ins = []
        for factor in (self.left, self.right):
            rows, columns = factor.shape[-2:]
            fan_ins.append(rows * columns if self.factor_init == "stacked" else columns)
            bound = math.sqrt(6 / fan_ins[-1])
            nn.init.uniform_(factor, -bound, bound)
        nn.init.zeros_(self.core.weight)
        nn.init.zeros_(self.core.bias)
        if self.gain is not None:
            nn.init.zeros_(self.gain)
        if self.start:  # Var(kernel) = scale^2 K R^2 Var(left) Var(core) Var(right), where Var(factor) = 2 / fan_in
            _, num_residuals, _, rank = self.left.shape
            bound = math.sqrt(math.prod(fan_ins) / (4 * self.core.in_features * num_residuals))
            bound *= self.start
            bound /= rank * self.scale
            nn.init.uniform_(self.core.bias, -bound, bound)

    def forward(self, *parameters: Tensor | None) -> tuple[Tensor, ...]:
        """The corrected weight (G rows columns, D) and bias, group-major, given the base's; alone, those are None."""
        weight, bias = parameters
        return self._corrected(weight, self.core.weight), self._corrected(bias, self.core.bias)

    def _corrected(self, base: Tensor | None, core: Tensor) -> Tensor:
        """base + sum_k left_k E_k right_k for every column of the map at once.

        Args:
            base: (G rows columns, ...), or None.
            core: E, (G K R R, ...) with the same last dimensions as the base.

        Returns:
            (G rows columns, ...), in this layout all through: nothing of the map's size is transposed.
        """
        num_groups, num_residuals, rows, rank = self.left.shape
        shape = (num_groups * rows * self.right.shape[3], *core.shape[1:])
        core = core.reshape(num_groups, num_residuals, rank, rank, -1)  # (G, K, R, R, D)
        # E_k right_k, for all columns: (G, K, R, columns, D)
        right = self.right.mT.unsqueeze(2) @ core
        right = right.reshape(num_groups, num_residuals * rank, -1)
        left = self.left.transpose(1, 2).flatten(2)  # (G, rows, K R): one product sums over k
        if base is None:
            residual = left @ right
            return (residual if self.scale == 1 else self.scale * residual).reshape(shape)
        base = base.reshape(num_groups, rows, -1)
        if self.gain is not None:
            base = torch.addcmul(base, base, self.gain[:, :, None])
        return torch.baddbmm(base, left, right, alpha=self.scale).reshape(shape)

    @torch.no_grad()
    def fit(self, *corrections: Tensor) -> None:
        """One of the K terms after the other, each of what remains, by higher-order SVD (De Lathauwer et al., 2000).

        A term's ``left`` and ``right`` span the R largest singular directions of rows and of columns, and ``core`` is
        the projection on them. Exact where R reaches the larger side; else near the best, not the best itself. A gain
        becomes zero: the correction is what has to be added to the base as it is.
        """
        weight, bias = corrections
        if self.gain is not None:
            self.gain.zero_()
        num_groups, num_residuals, rows, rank = self.left.shape
        columns = self.right.shape[3]
        remains = torch.cat([weight, bias[:, None]], dim=1).double() / self.scale
        remains = remains.reshape(num_groups, rows, columns, -1)  # the bias is one query dimension more
        cores = []
        for number in range(num_residuals):
            left = _directions(remains.flatten(2), rank)  # (G, rows, R)
            right = _directions(remains.transpose(1, 2).flatten(2), rank)  # (G, columns, R)
            core = torch.einsum("gra,grcd,gcb->gabd", left, remains, right)
            remains = remains - torch.einsum("gra,gabd,gcb->grcd", left, core, right)
            self.left[:, number], self.right[:, number] = left, right.mT
            cores.append(core)
        fitted = torch.stack(cores, dim=1).flatten(0, 3)  # (G K R R, D + 1)
        self.core.weight.copy_(fitted[:, :-1])
        self.core.bias.copy_(fitted[:, -1])


def _directions(matrices: Tensor, rank: int) -> Tensor:
    """The left singular vectors of the largest values, (G, rows, ...) -> (G, rows, R); zero beyond the smaller side."""
    vectors = torch.linalg.svd(matrices, full_matrices=False)[0][..., :rank]
    return torch.nn.functional.pad(vectors, (0, rank - vectors.shape[-1]))


def adaptive(
    kernel_shape: tuple[int, int],
    *,
    num_groups: int,
    rank: int | Sequence[int],
    num_residuals: int | Sequence[int],
    factor_init: FactorInit = "stacked",
    scale: float = 1.0,
    gain: bool = False,
    start: float = 0.0,
) -> MakeResidual:
    """Makes a stage's :class:`AdaptiveResidual` of a linear map's weight and bias.

    Args:
        kernel_shape: (rows, columns).
        num_groups: G.
        rank: R, or that of each stage.
        num_residuals: K, or that of each stage.
        factor_init: see the class.
        scale: likewise.
        gain: likewise.
        start: likewise.

    Raises:
        ValueError: if a rank or K is no whole number, nor one for each stage.
    """
    num_stages = num_values(rank=rank, num_residuals=num_residuals)

    def make(shapes: tuple[torch.Size, ...], stage: int, alone: bool) -> AdaptiveResidual:
        if [len(shape) for shape in shapes] != [2, 1]:
            raise ValueError(
                f"an adaptive residual corrects a linear map's weight and bias, and the name stands for "
                f"{in_words(shapes)}; name the map, which must have both"
            )
        return AdaptiveResidual(
            shapes[0][1],
            kernel_shape,
            num_groups=num_groups,
            rank=of_stage(rank, stage),
            num_residuals=of_stage(num_residuals, stage),
            factor_init=factor_init,
            alone=alone,
            scale=scale,
            gain=gain,
            start=start,
        )

    return MakeOfStages(make, num_stages)
