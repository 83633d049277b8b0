"""Whether a runner trains or evaluates."""

from __future__ import annotations

from mmengine.runner import BaseLoop, Runner


def trains(runner: Runner) -> bool:
    """Whether it trains, rather than evaluates alone; mmengine builds a loop when its work begins."""
    return isinstance(runner._train_loop, BaseLoop)
