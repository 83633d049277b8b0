"""What a run says while it runs: where it is, what it loses, when it ends, how well it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from lors_det.plugin.screen.header import test_rows, training_rows
from lors_det.plugin.screen.measures import (
    Clock,
    best_of_resumed,
    data_share_of,
    highest_rate,
    is_logged,
    last_stage,
    logger_hook,
    window_means,
)
from lors_det.plugin.screen.screens import Screen
from lors_det.plugin.screen.words import Moment, coco_scores


class ProgressHook(Hook):
    """Shows a run on a screen, in its first process.

    It adds nothing to what mmengine's LoggerHook writes into files, and reads its interval. It is no hook of a
    config: a command registers it.

    Args:
        screen: where to.
        title: of the run.
    """

    priority = "VERY_LOW"  # after what measures a step and logs it

    def __init__(self, screen: Screen, title: str) -> None:
        self.screen = screen
        self.title = title
        self._clock = Clock()
        self._evaluation = Clock()
        self._ap: float | None = None
        self._best: float | None = None
        self._rate: float | None = None
        """Of the step that runs: after it, the schedule has set that of the next."""
        self._trained: Moment | None = None
        """The last step of training."""

    def before_train(self, runner: Runner) -> None:
        self._best = best_of_resumed(runner)
        self._clock.start()
        self.screen.header(self.title, training_rows(runner))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self._rate = highest_rate(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        loop = runner.train_loop
        done, total = runner.iter + 1, runner.max_iters
        eta = self._clock.left(total - done)
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        window = runner.log_processor.window_size
        means = window_means(runner, "train", window)
        self._trained = Moment(
            phase="train",
            step=batch_idx + 1 if by_epoch else done,
            num_steps=len(loop.dataloader) if by_epoch else total,
            epoch=runner.epoch + 1 if by_epoch else None,
            num_epochs=runner.max_epochs if by_epoch else None,
            loss=means.get("train/loss"),
            stage_losses=last_stage(means),
            rate=self._rate,
            seconds=means.get("train/time"),
            data_share=data_share_of(means, "train"),
            eta=eta,
            ap=self._ap,
            best=self._best,
        )
        self.screen.moment(self._trained, logged=is_logged(runner, self._trained))

    def before_val_epoch(self, runner: Runner) -> None:
        self._evaluation.start()

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        self._evaluated(runner, "val", batch_idx + 1, len(runner.val_dataloader))

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        metrics = metrics or {}
        self._ap = coco_scores(metrics).get("AP")
        is_best = self._ap is not None and (self._best is None or self._ap > self._best)
        if is_best:
            self._best = self._ap
        if self._trained is None:  # a validation on its own, or before the first step
            self.screen.tested(metrics)
            return
        moment = replace(self._trained, ap=self._ap, best=self._best, is_best=is_best)
        self.screen.validated(moment, metrics, self._evaluation.elapsed, self._clock.elapsed)

    def before_test(self, runner: Runner) -> None:
        self.screen.header(self.title, test_rows(runner))

    def before_test_epoch(self, runner: Runner) -> None:
        self._evaluation.start()

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        self._evaluated(runner, "test", batch_idx + 1, len(runner.test_dataloader))

    def after_test_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        self.screen.tested(metrics or {})

    def after_run(self, runner: Runner) -> None:
        self.screen.close()

    def _evaluated(self, runner: Runner, phase: str, done: int, total: int) -> None:
        """A step of an evaluation."""
        eta = self._evaluation.left(total - done)
        means = window_means(runner, phase, runner.log_processor.window_size)
        trained = self._trained
        moment = Moment(
            phase=phase,
            step=done,
            num_steps=total,
            epoch=trained.epoch if trained else None,
            num_epochs=trained.num_epochs if trained else None,
            seconds=means.get(f"{phase}/time"),
            data_share=data_share_of(means, phase),
            eta=eta,
        )
        if done == total:
            self.screen.scoring(moment)
        else:
            self.screen.moment(moment, logged=done % logger_hook(runner).interval == 0)
