"""Ctrl-C, or a cluster's SIGTERM, at a chosen moment of a training."""

from __future__ import annotations

import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class InterruptHook(Hook):
    """Sends this process what Ctrl-C sends, or another signal, before iteration ``at``."""

    def __init__(self, at: int, name: str = "SIGINT") -> None:
        self.at = at
        self.signal = signal.Signals[name]

    def before_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        if runner.iter == self.at:
            os.kill(os.getpid(), self.signal)
