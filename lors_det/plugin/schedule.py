"""The learning rate's schedule against the length of the run.

The number of epochs is one value, ``train_cfg.max_epochs``: a scheduler without an ``end`` gets it from the Runner.
Milestones are epochs of their own, and a shorter run may end before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from lors_det.errors import InputError


def check_schedule(cfg: Config) -> None:
    """Refuse milestones that the run never reaches: its learning rate would not fall, and nothing would say so.

    Raises:
        InputError: if a scheduler has a milestone at the run's last epoch (iteration, where it counts those) or later.
    """
    loop = cfg.get("train_cfg") or {}
    for key, scheduler in _schedulers(cfg.get("param_scheduler"), "param_scheduler"):
        unit, last = ("epochs", "max_epochs") if scheduler.get("by_epoch", True) else ("iterations", "max_iters")
        length, milestones = loop.get(last), scheduler.get("milestones") or []
        if length is not None and any(milestone >= length for milestone in milestones):
            raise InputError(
                f"{key}.milestones are {list(milestones)} {unit}, but train_cfg.{last} is {length}: the learning rate "
                f"would not fall there; name milestones below {length}: --cfg-options {key}.milestones=[...]"
            )


def _schedulers(value: Any, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Schedulers with their keys: of one, of a list, or of a dict of such, one for each optimiser."""
    if isinstance(value, Mapping) and "type" in value:
        yield key, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _schedulers(part, f"{key}.{name}")
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from _schedulers(part, f"{key}.{number}")
