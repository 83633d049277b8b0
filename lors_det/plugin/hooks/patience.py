"""Training ends where validations gain nothing any more."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from lors_det.errors import InputError
from lors_det.plugin.loop.kind import trains


@HOOKS.register_module()
class PatienceHook(Hook):
    """Stops a training after so many validations in a row that did not better the best one before them.

    It counts in the run's history, which checkpoints hold: a resumed run remembers. mmengine's EarlyStoppingHook
    forgets, asks for gains of 0.1 by default, and builds the training set for evaluations too.

    Args:
        monitor: the figure, the more the better.
        patience: so many validations.
        min_gain: what counts as a gain.

    Raises:
        InputError: if validations do not give the figure.
    """

    def __init__(self, *, monitor: str = "coco/bbox_mAP", patience: int = 5, min_gain: float = 0.0) -> None:
        if patience < 1:
            raise InputError(f"PatienceHook takes patience={patience}; it must be at least 1")
        self.monitor = monitor
        self.patience = patience
        self.min_gain = min_gain

    def before_train(self, runner: Runner) -> None:
        if waited := self._stop_if_exhausted(runner):
            runner.logger.warning(
                f"nothing is trained: the resumed run had used up its patience; a patience of more than {waited} goes "
                "on, that of PatienceHook in the config's custom_hooks"
            )

    def after_val_epoch(self, runner: Runner, metrics: dict[str, Any] | None = None) -> None:
        if not trains(runner):
            return  # an evaluation
        if self.monitor not in (metrics or {}):
            names = ", ".join(metrics or {})
            raise InputError(f"PatienceHook waits for {self.monitor}, and the validation has {names}")
        self._stop_if_exhausted(runner)

    def _stop_if_exhausted(self, runner: Runner) -> int:
        """Returns the validations without a gain, where they are too many; else 0."""
        name = f"val/{self.monitor}"
        history = runner.message_hub.log_scalars
        best, waited = standing(history[name].data[0] if name in history else (), self.min_gain)
        if waited < self.patience:
            return 0
        runner.train_loop.stop_training = True
        reached = f"step {runner.iter} of {runner.max_iters}"
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            reached = f"epoch {runner.epoch} of {runner.max_epochs}"
        runner.logger.info(f"stopped after {reached}: no gain in {waited} validations, best {self.monitor} {best:.3f}")
        return waited


def standing(scores: Iterable[float], min_gain: float) -> tuple[float, int]:
    """The best of the scores in order, and how many came after it that were no gain."""
    best, waited = -math.inf, 0
    for score in scores:
        if score > best + min_gain:
            best, waited = score, 0
        else:
            waited += 1
    return best, waited
