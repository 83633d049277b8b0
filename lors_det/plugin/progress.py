"""What a run says while it runs: where it is, what it loses, when it ends, how well it does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

from mmengine.hooks import CheckpointHook, Hook, LoggerHook
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from lors_det.plugin.run_header import test_rows, training_rows
from lors_det.plugin.run_words import Moment, coco_scores
from lors_det.plugin.screens import Screen

_STAGE_LOSS = re.compile(r"train/s(\d+)\.loss_(\w+)")


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
        self._clock = _Clock()
        self._evaluation = _Clock()
        self._ap: float | None = None
        self._best: float | None = None
        self._trained: Moment | None = None
        """The last step of training."""

    def before_train(self, runner: Runner) -> None:
        self._best = _best_of_resumed(runner)
        self._clock.start()
        self.screen.header(self.title, training_rows(runner))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        loop = runner.train_loop
        done, total = runner.iter + 1, runner.max_iters
        eta = self._clock.left(total - done)
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        window = runner.log_processor.window_size
        means = _means(runner, "train", window)
        self._trained = Moment(
            phase="train",
            step=batch_idx + 1 if by_epoch else done,
            num_steps=len(loop.dataloader) if by_epoch else total,
            epoch=runner.epoch + 1 if by_epoch else None,
            num_epochs=runner.max_epochs if by_epoch else None,
            loss=means.get("train/loss"),
            stage_losses=_last_stage(means),
            rate=_rate(runner),
            seconds=means.get("train/time"),
            data_share=_data_share(means, "train"),
            eta=eta,
            ap=self._ap,
            best=self._best,
        )
        self.screen.moment(self._trained, logged=_is_logged(runner, self._trained))

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
        means = _means(runner, phase, runner.log_processor.window_size)
        trained = self._trained
        moment = Moment(
            phase=phase,
            step=done,
            num_steps=total,
            epoch=trained.epoch if trained else None,
            num_epochs=trained.num_epochs if trained else None,
            seconds=means.get(f"{phase}/time"),
            data_share=_data_share(means, phase),
            eta=eta,
        )
        if done == total:
            self.screen.scoring(moment)
        else:
            self.screen.moment(moment, logged=done % _logger(runner).interval == 0)


class _Clock:
    """Time of what has many steps. The first step, in which data workers start, does not count for the rest."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._begin = self._first = monotonic()
        self._num_steps = -1

    @property
    def elapsed(self) -> float:
        return monotonic() - self._begin

    def left(self, num_left: int) -> float | None:
        """Seconds of the steps that are left, now that one more is done, with what was between them."""
        self._num_steps += 1
        if self._num_steps == 0:
            self._first = monotonic()
            return None
        return (monotonic() - self._first) / self._num_steps * num_left


def _means(runner: Runner, phase: str, window: int) -> dict[str, float]:
    """Means of what a phase has logged over the last ``window`` steps."""
    wanted = (f"{phase}/loss", f"{phase}/time", f"{phase}/data_time")
    scalars = runner.message_hub.log_scalars
    return {
        name: float(scalars[name].mean(window)) for name in scalars if name in wanted or _STAGE_LOSS.fullmatch(name)
    }


def _last_stage(means: Mapping[str, float]) -> dict[str, float]:
    """Losses of the last stage, such as "cls"."""
    by_stage: dict[int, dict[str, float]] = {}
    for name, value in means.items():
        match = _STAGE_LOSS.fullmatch(name)
        if match:
            by_stage.setdefault(int(match[1]), {})[match[2]] = value
    return by_stage[max(by_stage)] if by_stage else {}


def _data_share(means: Mapping[str, float], phase: str) -> float:
    seconds = means.get(f"{phase}/time", 0.0)
    return means.get(f"{phase}/data_time", 0.0) / seconds if seconds > 0 else 0.0


def _rate(runner: Runner) -> float:
    """The highest learning rate: parts of the model may have lower ones."""
    rates = runner.optim_wrapper.get_lr()
    return max(max(values) for name, values in rates.items() if name.endswith("lr"))


def _logger(runner: Runner) -> LoggerHook:
    """The run's, or one of mmengine's defaults."""
    return next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None) or LoggerHook()


def _is_logged(runner: Runner, moment: Moment) -> bool:
    """Whether LoggerHook logs a step of training: at its interval, or at the end of an epoch that is shorter."""
    logger = _logger(runner)
    is_last = moment.step == moment.num_steps
    ends_short = is_last and (not logger.ignore_last or moment.num_steps <= logger.interval)
    return moment.step % logger.interval == 0 or ends_short


def _best_of_resumed(runner: Runner) -> float | None:
    """The best AP before a run that goes on, from the checkpoint."""
    keeper = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    keys = getattr(keeper, "key_indicators", None) or []
    info = runner.message_hub.runtime_info
    if isinstance(runner._train_loop, BaseLoop) and runner.iter > 0 and len(keys) == 1 and keys[0].endswith("bbox_mAP"):
        return info.get("best_score")
    return None
