"""Figures of the first epochs beside those that a sound training reaches: days of GPUs are not spent on a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from lors_det.errors import InputError
from lors_det.plugin.loop.kind import trains


@HOOKS.register_module()
class EarlyCheckHook(Hook):
    """Says, after each of the first epochs, what was expected, and warns where the run is far behind.

    Args:
        expected: the figure after epoch 1, 2, ... of a sound run.
        tolerance: how much less is no reason to worry, of the same unit.
        monitor: the figure, the more the better.
        model: whose figures they are, for the message.
        num_images: of the training set that the figures are of; with another set nothing is said. None: any.

    Raises:
        InputError: if there is nothing to expect, the tolerance is negative, or validations do not give the figure.
    """

    def __init__(
        self,
        *,
        expected: Sequence[float],
        tolerance: float = 0.02,
        monitor: str = "coco/bbox_mAP",
        model: str = "a sound run",
        num_images: int | None = None,
    ) -> None:
        if not expected or not all(isinstance(value, (int, float)) for value in expected):
            raise InputError(f"EarlyCheckHook takes expected={expected!r}; it must be the figures of the first epochs")
        if tolerance < 0:
            raise InputError(f"EarlyCheckHook takes tolerance={tolerance}; it must not be negative")
        self.expected, self.tolerance, self.monitor = tuple(expected), tolerance, monitor
        self.model, self.num_images = model, num_images

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        if not trains(runner) or not 1 <= runner.epoch <= len(self.expected):
            return  # an evaluation, or later
        if self.num_images not in (None, len(runner.train_dataloader.dataset)):
            return
        if self.monitor not in (metrics or {}):
            raise InputError(
                f"EarlyCheckHook waits for {self.monitor}, and the validation has {', '.join(metrics or {})}"
            )
        found, wanted = (metrics or {})[self.monitor], self.expected[runner.epoch - 1]
        words = f"{self.monitor} is {found:.3f} after epoch {runner.epoch}, where {self.model} has {wanted:.3f}"
        if found >= wanted - self.tolerance:
            runner.logger.info(words)
        else:
            runner.logger.warning(
                f"{words}: far behind. Check data, batch, learning rate and the backbone's weights before going on"
            )
