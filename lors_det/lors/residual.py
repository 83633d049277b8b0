"""What a stack expects of a residual."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lors_det.lors.shapes import in_words


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
        """Become the nearest to these corrections that its rank allows; the base counts as it is then."""
        raise NotImplementedError(f"{type(self).__name__} has no fit(), by which it would become near to a correction")


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


@dataclass(frozen=True)
class MakeOfStages:
    """A :data:`MakeResidual` with numbers of each stage's own."""

    make: MakeResidual
    num_values: int | None
    """How many stages they are for; None where one number is for all."""

    def __call__(self, shapes: tuple[torch.Size, ...], stage: int, alone: bool) -> Residual:
        return self.make(shapes, stage, alone)


def made_residual(
    make: MakeResidual, shapes: tuple[torch.Size, ...], name: str, stage: int, *, alone: bool, num_stages: int
) -> Residual:
    """A stage's residual of what a name stands for, seen to fit.

    Raises:
        ValueError: if it has numbers for other stages than there are, cannot be made, is none, or is for other shapes.
    """
    if isinstance(make, MakeOfStages) and make.num_values not in (None, num_stages):
        raise ValueError(
            f"the residuals of {name} have numbers for {make.num_values} stages, and there are {num_stages}; give one "
            "for each stage"
        )
    try:
        residual = make(shapes, stage, alone)
    except ValueError as error:
        raise ValueError(f"the residual of {name} in stage {stage}: {error}") from error
    if not isinstance(residual, Residual):
        raise ValueError(
            f"the residual of {name} in stage {stage} is a {type(residual).__name__}; derive it from "
            "lors_det.lors.Residual, which says what it must have"
        )
    if residual.shapes != shapes:
        raise ValueError(
            f"the residual of {name} is for {in_words(residual.shapes)}, and stage {stage} has there {in_words(shapes)}"
        )
    return residual


def corrected_by(
    residual: Residual, parameters: Sequence[Tensor | None], names: Sequence[str], which: str
) -> tuple[Tensor, ...]:
    """Corrected parameters, as many as came.

    Args:
        residual: what corrects them.
        parameters: of the base, or None for each.
        names: of them.
        which: the residual, in words.

    Raises:
        ValueError: if the residual gives something else.
    """
    given = residual(*parameters)
    if not isinstance(given, tuple) or len(given) != len(names):
        form = f"a tuple of {len(given)}" if isinstance(given, tuple) else f"a {type(given).__name__}"
        raise ValueError(f"{which} gives {form}; it must give a tuple of the corrected {', '.join(names)}")
    return given


def num_values(**values: int | Sequence[int] | None) -> int | None:
    """For how many stages numbers by name are, some of which may be one for all.

    Raises:
        ValueError: if one is neither a whole number nor a sequence of them, or they are for other numbers of stages.
    """
    found: int | None = None
    for name, own in values.items():
        if own is None or _is_whole(own):
            continue
        if not isinstance(own, Sequence) or not all(map(_is_whole, own)):
            raise ValueError(f"{name}={own!r}; it must be a whole number, or one for each stage")
        if found not in (None, len(own)):
            raise ValueError(f"{name}={own!r} has {len(own)} values, and others have {found}; give one for each stage")
        found = len(own)
    return found


def of_stage(values: int | Sequence[int], stage: int) -> int:
    """A number of the stage's own, or one for all."""
    return int(values[stage] if isinstance(values, Sequence) else values)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
