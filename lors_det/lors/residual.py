"""What a stack expects of a residual."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """A stage's private correction of parameters that it shares, of one or of several at once."""

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        """Of the parameters that it corrects."""
        raise NotImplementedError

    def forward(self, *parameters: Tensor | None) -> tuple[Tensor, ...]:
        """The corrected parameters, given the base's; None for each of them where there is no base."""
        raise NotImplementedError

    def fit(self, *corrections: Tensor) -> None:
        """Become the nearest to these corrections that its rank allows; what scales the base is left as it is."""
        raise NotImplementedError


def checked_scale(scale: float) -> float:
    """The scale of a residual.

    Raises:
        ValueError: if it is no positive number.
    """
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < math.inf:
        raise ValueError(f"scale={scale!r} of a residual; it must be a positive number")
    return float(scale)


def checked_start(start: float, *, alone: bool) -> float:
    """Standard deviation of a correction when it starts, in units of that of a weight of the stage's own.

    A residual that is ``alone`` is the whole weight, and starts as one.

    Raises:
        ValueError: if it is no number from 0 on.
    """
    if isinstance(start, bool) or not isinstance(start, (int, float)) or not 0 <= start < math.inf:
        raise ValueError(f"start={start!r} of a residual; it must be a number from 0 on")
    return 1.0 if alone else float(start)


MakeResidual: TypeAlias = Callable[[tuple[torch.Size, ...], int, bool], Residual]
"""(shapes of the parameters that it corrects, the stage's number, whether there is no base) -> residual."""


def of_stage(name: str, values: int | Sequence[int], stage: int) -> int:
    """A number of the stage's own, or one for all.

    Raises:
        ValueError: if the stage has none.
    """
    if isinstance(values, int):
        return values
    if stage >= len(values):
        raise ValueError(f"{name} has {len(values)} values, and none for stage {stage}; give one for each stage")
    return values[stage]
