"""What is measured of a run, for a person to see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from time import monotonic

from mmengine.hooks import CheckpointHook, LoggerHook
from mmengine.runner import Runner

from lors_det.plugin.loop.kind import trains
from lors_det.plugin.screen.words import Moment

_STAGE_LOSS = re.compile(r"train/s(\d+)\.loss_(\w+)")


class Clock:
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


def window_means(runner: Runner, phase: str, window: int) -> dict[str, float]:
    """Means of what a phase has logged over the last ``window`` steps."""
    wanted = (f"{phase}/loss", f"{phase}/time", f"{phase}/data_time")
    scalars = runner.message_hub.log_scalars
    return {
        name: float(scalars[name].mean(window)) for name in scalars if name in wanted or _STAGE_LOSS.fullmatch(name)
    }


def last_stage(means: Mapping[str, float]) -> dict[str, float]:
    """Losses of the last stage, such as "cls"."""
    by_stage: dict[int, dict[str, float]] = {}
    for name, value in means.items():
        match = _STAGE_LOSS.fullmatch(name)
        if match:
            by_stage.setdefault(int(match[1]), {})[match[2]] = value
    return by_stage[max(by_stage)] if by_stage else {}


def data_share_of(means: Mapping[str, float], phase: str) -> float:
    """Share of a step's time that waits for data, in [0, 1]; 0 where time is not measured."""
    seconds = means.get(f"{phase}/time", 0.0)
    return means.get(f"{phase}/data_time", 0.0) / seconds if seconds > 0 else 0.0


def highest_rate(runner: Runner) -> float:
    """The highest learning rate: parts of the model may have lower ones."""
    rates = runner.optim_wrapper.get_lr()  # with "base_lr", which no weight needs to have
    return max(max(values) for name, values in rates.items() if name.rpartition(".")[2] == "lr")


def logger_hook(runner: Runner) -> LoggerHook:
    """The run's, or one of mmengine's defaults."""
    return next((hook for hook in runner.hooks if isinstance(hook, LoggerHook)), None) or LoggerHook()


def is_logged(runner: Runner, moment: Moment) -> bool:
    """Whether LoggerHook logs a step of training: at its interval, or at the end of an epoch that is shorter."""
    logger = logger_hook(runner)
    is_last = moment.step == moment.num_steps
    ends_short = is_last and (not logger.ignore_last or moment.num_steps <= logger.interval)
    return moment.step % logger.interval == 0 or ends_short


def best_of_resumed(runner: Runner) -> float | None:
    """The best AP before a run that goes on, from the checkpoint."""
    keeper = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    keys = getattr(keeper, "key_indicators", None) or []
    info = runner.message_hub.runtime_info
    if trains(runner) and runner.iter > 0 and len(keys) == 1 and keys[0].endswith("bbox_mAP"):
        return info.get("best_score")
    return None
