"""A stage of a stack, as whoever iterates over the stack finds it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.func import functional_call

from lors_det.lors.recompute import recomputed

if TYPE_CHECKING:
    from lors_det.lors.stack import SharedStack


class SharedStage:
    """Stage ``number`` of a stack: called, it computes with its weights put in; its attributes are the stage's own.

    They are for reading: set them on ``stack.stages[number]``. Its parameters are those that it shares with none; what
    it shares is in ``stack.bases``, and what corrects that in ``stack.residuals[number]``.
    """

    __slots__ = ("number", "stack")

    def __init__(self, stack: SharedStack, number: int) -> None:
        self.stack = stack
        self.number = number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        stack = self.stack
        if stack._kept is not None and stack.training and torch.is_grad_enabled():
            raise RuntimeError("the stack is folded, for inference; leave `with stack.folded()` to train it")
        if stack.recompute:
            return recomputed(stack.stages[self.number], self._compute, *args, **kwargs)
        return self._compute(*args, **kwargs)

    def _compute(self, *args: Any, **kwargs: Any) -> Any:
        stack = self.stack
        # weights are put into the stage itself, which threads share; a graph that is traced has no threads
        with nullcontext() if torch.compiler.is_compiling() else stack._lock:
            return functional_call(stack.stages[self.number], stack.weights(self.number), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # how to copy this handle is not the stage's to say
            raise AttributeError(name)
        return getattr(self.stack.stages[self.number], name)
