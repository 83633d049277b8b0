"""A module whose activations the backward pass computes again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What ``forward`` gives, keeping nothing for the backward pass, in torch's way that is not re-entrant.

    Running statistics of the module's norms learn of a batch once, as if it were kept: computed again, they would take
    a second step of their momentum toward it.

    Args:
        module: what ``forward`` computes with.
        forward: its computation.
        *args: of the call.
        **kwargs: of the call.
    """
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    norms = [part for part in module.modules() if isinstance(part, _NormBase)]
    contexts: dict[str, Any] = {}
    learning = [norm for norm in norms if norm.training and norm.track_running_stats]
    if learning and not torch.compiler.is_compiling():  # a compiled backward pass writes no statistics
        contexts = {"context_fn": lambda: (nullcontext(), _still(learning))}
    # bound, for checkpoint has keywords of its own
    return checkpoint(partial(forward, **kwargs), *args, use_reentrant=False, **contexts)


def check_keeps_activations(stage: nn.Module, number: int) -> None:
    """Refuse a stage of a stack that recomputes by itself, as far as its parts say so.

    A backward pass computes it again when its shared weights are put in no more.

    Raises:
        ValueError: if a part is switched to do so, in the way of mmcv (``with_cp``), of Transformers or of a stack.
    """
    for name, part in stage.named_modules():
        for switch in ("with_cp", "gradient_checkpointing", "recompute"):  # the last of a stack within a stage
            if getattr(part, switch, False) is True:
                raise ValueError(
                    f"stage {number} recomputes activations by itself ({'.'.join(filter(None, (name, switch)))}), when "
                    "its shared weights are put in no more; turn that off, and set stack.recompute = True"
                )


@contextmanager
def _still(norms: Sequence[_NormBase]) -> Iterator[None]:
    """Norms that normalise by their batch and take no step toward it; whether they track it decides what they keep."""
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
