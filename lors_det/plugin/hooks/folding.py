"""Evaluation with weights that are corrected once, and not in every call."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lors_det.adamixer import Decoder


@HOOKS.register_module()
class FoldingHook(Hook):
    """Folds the model's decoders for each validation and test, see :meth:`lors_det.lors.SharedStack.folded`."""

    priority = "LOW"  # after an average of the weights was put in

    def __init__(self) -> None:
        self._folded = ExitStack()

    def before_train(self, runner: Runner) -> None:
        self._folded.close()  # of an evaluation that failed

    def before_val_epoch(self, runner: Runner) -> None:
        self._enter(runner, runner.val_loop)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._folded.close()

    def before_test_epoch(self, runner: Runner) -> None:
        self._enter(runner, runner.test_loop)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self._folded.close()

    def _enter(self, runner: Runner, loop: Any) -> None:
        self._folded.close()  # of an evaluation that failed
        for module in runner.model.modules():
            if isinstance(module, Decoder):
                dtype = None
                if getattr(loop, "fp16", False):
                    dtype = torch.get_autocast_dtype(next(module.parameters()).device.type)
                self._folded.enter_context(module.folded(dtype))
