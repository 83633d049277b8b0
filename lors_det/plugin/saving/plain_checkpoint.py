"""Checkpoints that hold plain data, and are taken up again as they were meant."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from lors_det.plugin.optimizer import merge_saved_groups
from lors_det.plugin.saving.plain_data import NotPlainError, history_of, to_plain
from lors_det.plugin.saving.schedule_state import (
    live_and_saved,
    repair_milestones,
    replay,
    restore_containers,
    take_constants,
    without_functions,
)


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Writes checkpoints that ``torch.load(..., weights_only=True)`` reads, and makes of them again what was.

    mmengine's message hub keeps log histories as objects and NumPy scalars, which need unpickling; they are written
    as tensors and numbers. What other code keeps there and is no plain data is left out, with a warning: it must not
    cost the run its checkpoints. The run's config is in ``meta["config_data"]``, as data in place of mmengine's text.

    Raises:
        NotPlainError: if the weights, or the optimiser's or a schedule's state, are no plain data.
    """

    def __init__(self) -> None:
        self._left_out: set[str] = set()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        meta = checkpoint.get("meta", {})
        if meta.pop("cfg", None) is not None:  # text that would have to be run
            meta["config_data"] = runner.cfg.to_dict()
        for key, value in checkpoint.items():
            if key == "message_hub":
                checkpoint[key] = {name: self._plain_part(runner, part, name) for name, part in value.items()}
            elif key == "meta":
                checkpoint[key] = self._plain_part(runner, value, key)
            elif key == "param_schedulers":
                checkpoint[key] = to_plain(without_functions(value), key)
            else:
                checkpoint[key] = to_plain(value, key)

    def _plain_part(self, runner: Runner, part: dict[str, Any], where: str) -> dict[str, Any]:
        plain = {}
        for name, value in part.items():
            try:
                plain[name] = to_plain(value, f"{where}.{name}")
            except NotPlainError as error:
                if name not in self._left_out:
                    runner.logger.warning(f"{error}; it is left out, and a resumed run starts without it")
                self._left_out.add(name)
        return plain

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        scalars = checkpoint.get("message_hub", {}).get("log_scalars", {})
        scalars.update((name, history_of(value)) for name, value in scalars.items())
        if runner._resume and "optimizer" in checkpoint:
            if isinstance(runner.optim_wrapper, OptimWrapper):
                optimizer, parameters = runner.optim_wrapper.optimizer, runner.model.parameters()
                checkpoint.update(merge_saved_groups(checkpoint, optimizer, parameters))
            _restore_schedules(runner, checkpoint)
            _reuse_metainfo(runner, checkpoint)


def _restore_schedules(runner: Runner, checkpoint: dict[str, Any]) -> None:
    pairs = list(live_and_saved(runner.param_schedulers, checkpoint.get("param_schedulers")))
    rebuilt = max((repair_milestones(state) for _, state in pairs), default=0)
    has_changed = False
    for number, (scheduler, state) in enumerate(pairs):
        restore_containers(scheduler, state)
        changes = take_constants(scheduler, state)
        if changes:
            before, now = (
                ", ".join(f"{name}={_in_words(pair[place])}" for name, pair in changes.items()) for place in (0, 1)
            )
            runner.logger.warning(
                f"param_scheduler.{number}, {type(scheduler).__name__}, had {before} in the checkpoint's run, and goes "
                f"on with the config's {now}"
            )
            has_changed = True
    if rebuilt:
        runner.logger.warning("the checkpoint's milestones were written wrongly, by lors_det 0.1.0, and are repaired")
    if has_changed and any(getattr(scheduler, "need_val_args", False) for scheduler, _ in pairs):
        runner.logger.warning(
            "a schedule follows the validations, which are not made again: the rates go on from these"
        )
    elif rebuilt > 1 or has_changed:  # resumed before, and without its decays since; or with another schedule
        _restore_rates(runner, checkpoint)


def _in_words(value: Any) -> str:
    return str(sorted(value)) if isinstance(value, Counter) else str(value)


def _restore_rates(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Rates, and states of the schedules, of a run that always had the config's schedules."""
    saved = [*checkpoint["optimizer"]["param_groups"]]
    if base := checkpoint["optimizer"].get("base_param_settings"):  # which mmengine schedules beside them
        saved.append(base)
    epoch_steps, meta = len(runner.train_dataloader), checkpoint["meta"]
    schedulers, groups = runner.param_schedulers, getattr(runner.optim_wrapper, "param_groups", [])
    same = isinstance(schedulers, list) and [group.get("initial_lr") for group in groups] == [
        group.get("initial_lr") for group in saved
    ]
    counts_epochs = isinstance(schedulers, list) and any(each.by_epoch for each in schedulers)
    if not same or (counts_epochs and meta["iter"] // epoch_steps != meta["epoch"]):
        runner.logger.warning(
            "the learning rate cannot be told from the schedule, and stays the checkpoint's: check it"
        )
        return
    replay(schedulers, meta["iter"], epoch_steps)
    for name in dict.fromkeys(scheduler.param_name for scheduler in schedulers):
        changed = [
            (old, new)
            for old, new in zip(saved, groups)
            if name in new and abs(old[name] - new[name]) > 1e-6 * abs(new[name])
        ]
        if changed:
            before, now = (", ".join(dict.fromkeys(f"{group[name]:g}" for group in side)) for side in zip(*changed))
            runner.logger.warning(f"{name} was {before}, and is {now} now, as in a run that always had this schedule")
        for old, new in changed:
            old[name] = new[name]
    checkpoint["param_schedulers"] = [scheduler.state_dict() for scheduler in schedulers]


def _reuse_metainfo(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Spare a warning that the data differs where its classes do not: mmengine compares pickled bytes."""
    own = getattr(runner.train_dataloader.dataset, "metainfo", {})
    saved = checkpoint["meta"].get("dataset_meta", {})
    if own.get("classes") and tuple(own["classes"]) == tuple(saved.get("classes", ())):
        checkpoint["meta"]["dataset_meta"] = own
