"""The schedules of a config, in each of the forms that mmengine takes, and what they leave of its learning rates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, ConfigDict

from lors_det.errors import InputError

_MULTIPLIERS = ("layer_decay", "bias_lr_mult", "dcn_offset_lr_mult")


def schedules_of(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Keys and schedules: ``param_scheduler`` is one, a list of them, or either by the name of an optimiser."""
    yield from _schedules("param_scheduler", cfg.get("param_scheduler"))


def check_multipliers(cfg: Config) -> None:
    """Refuse multipliers of the learning rate beside a schedule that gives all weights one rate.

    Raises:
        InputError: it names both.
    """
    given = (cfg.get("optim_wrapper") or {}).get("paramwise_cfg") or {}
    keys = [key for key in _MULTIPLIERS if given.get(key) not in (None, 1, {})]
    keys += [f"sharing.{key}" for key in ("base_lr", "residual_lr") if (given.get("sharing") or {}).get(key, 1) != 1]
    custom = given.get("custom_keys") or {}
    keys += [f"custom_keys.{name}.lr_mult" for name, each in custom.items() if (each or {}).get("lr_mult", 1) != 1]
    for key, schedule in schedules_of(cfg):
        kind = str(schedule.get("type")).rpartition(".")[2]
        if keys and kind.startswith("OneCycle") and not isinstance(schedule.get("eta_max"), (list, tuple)):
            raise InputError(
                f"config key {key} is a {kind}, which takes all weights from one rate to one eta_max, so that "
                f"optim_wrapper.paramwise_cfg.{keys[0]} would be read and have no effect; take another schedule, or "
                "set it to 1"
            )


def _schedules(key: str, value: Any) -> Iterator[tuple[str, ConfigDict]]:
    if isinstance(value, dict) and "type" in value:
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _schedules(f"{key}.{name}", item)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _schedules(f"{key}.{number}", item)
