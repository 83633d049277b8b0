"""Trainings by iterations: what else of a config has to count in them."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config

from lors_det.errors import InputError
from lors_det.plugin.config.schedules import schedules_of


def check_by_iterations(cfg: Config) -> None:
    """Refuse a training by iterations of which something counts epochs: none ends in it, so that it never happens.

    Raises:
        InputError: it names the keys.
    """
    for key, schedule in schedules_of(cfg):
        if schedule.get("begin", 0) is None and not schedule.get("by_epoch", True):
            raise InputError(
                f"config key {key}.begin is None, which is chosen for schedules by epoch alone; give an iteration"
            )
    if (cfg.get("train_cfg") or {}).get("max_iters") and (keys := list(_counting_epochs(cfg))):
        raise InputError(
            f"config key train_cfg.max_iters trains by iterations, in which no epoch ends, and {', '.join(keys)} "
            "would be True; set it to False, and what belongs to it, such as milestones or an interval, in iterations"
        )


def _counting_epochs(cfg: Config) -> Iterator[str]:
    for key, schedule in schedules_of(cfg):
        if schedule.get("by_epoch", True) and not schedule.get("convert_to_iter_based"):
            yield f"{key}.by_epoch"
    hooks = cfg.get("default_hooks") or {}
    if (hooks.get("checkpoint") or {}).get("by_epoch", bool(hooks.get("checkpoint"))):
        yield "default_hooks.checkpoint.by_epoch"
    if (hooks.get("logger") or {}).get("log_metric_by_epoch", bool(hooks.get("logger"))):
        yield "default_hooks.logger.log_metric_by_epoch"
    if (cfg.get("log_processor") or {}).get("by_epoch", True):
        yield "log_processor.by_epoch"
