"""A value whose gradient is multiplied by a number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ScaledGradient(torch.autograd.Function):
    """x, whose gradient is multiplied by a number on its way back."""

    generate_vmap_rule = True  # torch.func's transforms take it, in this form

    @staticmethod
    def forward(x: Tensor, factor: float) -> Tensor:
        """x itself, of any shape and type, as another view."""
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        """Keep the number."""
        _, ctx.factor = inputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient times the number; none for the number."""
        return gradients[0] * ctx.factor, None


class _WithTangent(ScaledGradient):
    """The same, forwards too; torch.compile takes none that says how."""

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        """The tangent as it is: forwards, this is x."""
        return tangent.view_as(tangent)


def scaled_gradient(x: Tensor, factor: float) -> Tensor:
    """x, whose gradient is multiplied by ``factor``, compiled or not."""
    of_now = ScaledGradient if torch.compiler.is_compiling() else _WithTangent
    scaled: Tensor = of_now.apply(x, factor)
    return scaled
