"""Early stopping that leaves evaluations alone."""

from __future__ import annotations

from mmdet.registry import HOOKS
from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import Runner


@HOOKS.register_module()
class PatienceHook(EarlyStoppingHook):
    """mmengine's EarlyStoppingHook, which looks at the training loop before a training only.

    That of mmengine does before every run, so that an evaluation too would build the training set.

    Arguments are mmengine's: ``monitor``, ``rule``, ``patience`` (validations without a gain), ``min_delta``, ....
    """

    def before_run(self, runner: Runner) -> None:
        """Nothing: the run may be an evaluation."""

    def before_train(self, runner: Runner) -> None:
        super().before_run(runner)
