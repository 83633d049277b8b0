"""The schedules of a config, in each of the forms that mmengine takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, ConfigDict


def schedules_of(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Keys and schedules: ``param_scheduler`` is one, a list of them, or either by the name of an optimiser."""
    yield from _schedules("param_scheduler", cfg.get("param_scheduler"))


def _schedules(key: str, value: Any) -> Iterator[tuple[str, ConfigDict]]:
    if isinstance(value, dict) and "type" in value:
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _schedules(f"{key}.{name}", item)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _schedules(f"{key}.{number}", item)
