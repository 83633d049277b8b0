"""A stage of a stack, as whoever iterates over the stack finds it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call

from lors_det.lors.recompute import recomputed

if TYPE_CHECKING:
    from lors_det.lors.stack import SharedStack


class SharedStage:
    """Stage ``number`` of a stack: called, it computes with its weights put in; its attributes are the stage's own.

    They are for reading: set them on ``stack.stages[number]``. Its parameters are those that it shares with none; what
    it shares is in ``stack.bases``, and what corrects that in ``stack.residuals[number]``.
    """

    __slots__ = ("_number", "_stack")  # other names would hide the stage's

    def __init__(self, stack: SharedStack, number: int) -> None:
        self._stack = stack
        self._number = number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        stack = self._stack
        if stack._kept is not None and stack.training and torch.is_grad_enabled():
            raise RuntimeError("the stack is folded, for inference; leave `with stack.folded()` to train it")
        if stack.recompute:
            return recomputed(stack.stages[self._number], self._with_the_same(self._compute), *args, **kwargs)
        return self._compute(*args, **kwargs)

    def _with_the_same(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        """The computation, which is made with the parameters of now, or not at all.

        ``torch.func.functional_call`` takes its values away again before the backward pass.
        """
        if torch.compiler.is_compiling():
            return compute
        before = self._sources()

        def checked(*args: Any, **kwargs: Any) -> Any:
            if any(now is not then for now, then in zip(self._sources(), before, strict=True)):
                raise RuntimeError(
                    "the stack has other parameters than when this stage was computed first, such as after "
                    "torch.func.functional_call; set stack.recompute = False for that"
                )
            return compute(*args, **kwargs)

        return checked

    def _sources(self) -> list[Tensor]:
        """All parameters that the stage is computed from."""
        stack, base = self._stack, self._stack.share[self._number]
        parts = [stack.stages[self._number], stack.residuals[self._number]]
        parts += [] if base is None else [stack.bases[base]]
        return [parameter for part in parts for parameter in part.parameters()]

    def _compute(self, *args: Any, **kwargs: Any) -> Any:
        stack = self._stack
        # weights are put into the stage itself, which threads share; a graph that is traced has no threads
        with nullcontext() if torch.compiler.is_compiling() else stack._lock:
            return functional_call(stack.stages[self._number], stack.weights(self._number), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # how to copy this handle is not the stage's to say
            raise AttributeError(name)
        return getattr(self._stack.stages[self._number], name)
