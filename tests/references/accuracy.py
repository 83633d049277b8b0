"""Judge a fast op relative to plain torch's own error."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def assert_as_accurate(
    fast: Callable[..., Tensor], reference: Callable[..., Tensor], *inputs: Tensor, slack: float = 2.0
) -> None:
    """The error of ``fast`` against float64 is at most ``slack`` times that of the reference in its own precision.

    Checks the output and the gradients of all inputs, for one random direction of the output.
    """
    direction = torch.randn_like(reference(*inputs))

    def run(function: Callable[..., Tensor], dtype: torch.dtype) -> list[Tensor]:
        leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in inputs]
        output = function(*leaves)
        assert output.dtype == dtype
        return [output.detach(), *torch.autograd.grad(output, leaves, direction.to(dtype))]

    names = ["output", *(f"gradient of input {number}" for number in range(len(inputs)))]
    exact = run(reference, torch.float64)
    for name, fast_value, plain, true in zip(names, run(fast, inputs[0].dtype), run(reference, inputs[0].dtype), exact):
        fast_error, plain_error = ((value.double() - true).abs().max() for value in (fast_value, plain))
        floor = torch.finfo(plain.dtype).eps * true.abs().max()
        assert fast_error <= slack * plain_error + floor, (name, fast_error, plain_error)
