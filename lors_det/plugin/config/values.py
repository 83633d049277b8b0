"""Values of a config that no training could use: refused by name, before anything is built."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmengine.config import Config

from lors_det.errors import InputError
from lors_det.plugin.config.names import leaves
from lors_det.plugin.config.schedules import schedules_of


class Number(NamedTuple):
    """What a value must be.

    Attributes:
        whole: an integer.
        least: the smallest value.
        most: the greatest value.
        above: greater than ``least``, not equal to it.
        none: None is allowed too.
    """

    whole: bool = True
    least: float = 1
    most: float = math.inf
    above: bool = False
    none: bool = False

    def obstacle(self, value: Any) -> str | None:
        """Why the value is wrong, in words; None if it is not."""
        if value is None and self.none:
            return None
        kinds = int if self.whole else (int, float)
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        if fits and (value > self.least or (value == self.least and not self.above)) and value <= self.most:
            return None
        kind = "a whole number" if self.whole else "a number"
        bound = f"greater than {self.least}" if self.above else f"of at least {self.least}"
        if self.most < math.inf:
            bound += f" and at most {self.most}"
        return f"it must be {kind} {bound}"


SEEDS = range(2**31)
"""numpy takes 32 bits, and data workers count on from a run's seed."""

POSITIVE = Number(whole=False, least=0, above=True)
NUMBERS = {
    r"(train|val|test)_dataloader\.batch_size": Number(none=True),
    r"(train|val|test)_dataloader\.num_workers": Number(least=0),
    r"model\.bbox_head\.num_queries": Number(),
    r"model\.bbox_head\.num_classes": Number(none=True),
    r"model\.test_cfg\.max_per_img": Number(none=True),
    r"optim_wrapper\.optimizer\.lr": POSITIVE,
    r"optim_wrapper\.optimizer\.weight_decay": Number(whole=False, least=0),
    r"optim_wrapper\.clip_grad\.max_norm": POSITIVE,
    r"optim_wrapper\.accumulative_counts": Number(),
    r"train_cfg\.(max_epochs|val_interval)": Number(none=True),
    r"train_cfg\.val_begin": Number(least=0),
    r"train_cfg\.max_iters": Number(),
    r"param_scheduler(\.\w+)*\.begin": Number(least=0, none=True),
    r"auto_scale_lr\.base_batch_size": POSITIVE,  # of a step that is one of several to an update, a fraction
    r"randomness\.seed": Number(least=SEEDS.start, most=SEEDS.stop - 1, none=True),
}
"""Keys with dots, as patterns, and what their values must be; a None may be filled in from the data."""


WORDS: dict[str, tuple[str | bool | None, ...]] = {
    "sync_bn": ("torch", "mmcv", None),
    "train_cfg.when_not_finite": ("stop", "skip"),
    "env_cfg.mp_cfg.mp_start_method": ("fork", "spawn", "forkserver", None),
    **dict.fromkeys(
        ("randomness.deterministic", "randomness.diff_rank_seed", "find_unused_parameters"), (True, False, None)
    ),
}
"""Keys with dots, and the values that they take."""


def check_numbers(cfg: Config) -> None:
    """Refuse numbers that are none or out of range, and words that are none of those that a key takes.

    Raises:
        InputError: it names the key, the value and what is allowed.
    """
    of_schedules = (leaf for key, schedule in schedules_of(cfg) for leaf in leaves(schedule, key))
    for key, value in (*leaves(cfg._cfg_dict), *of_schedules):  # of a list there are no keys
        if key in WORDS and value not in WORDS[key]:
            raise InputError(f"config key {key} is {value!r}; it must be {_either(WORDS[key])}")
        for pattern, number in NUMBERS.items():
            obstacle = number.obstacle(value) if re.fullmatch(pattern, key) else None
            if obstacle:
                raise InputError(f"config key {key} is {value!r}; {obstacle}")


def _either(words: tuple[str | bool | None, ...]) -> str:
    return " or ".join(f'"{word}"' if isinstance(word, str) else str(word) for word in words)


def check_kinds(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse ``--cfg-options`` that set text where the config has a number or a truth value.

    Raises:
        InputError: it names the key, the text, and what stands there.
    """
    present = dict(leaves(cfg._cfg_dict))
    for key, value in options.items():
        old = present.get(key)
        if isinstance(value, str) and isinstance(old, (bool, int, float)):
            kind = "True or False" if isinstance(old, bool) else "a number"
            raise InputError(f"--cfg-options {key}={value}: it must be {kind}, as {old} is, which it replaces")


def complete_workers(cfg: Config) -> None:
    """Without worker processes, drop what only they take: torch refuses it."""
    for split in ("train", "val", "test"):
        loader = cfg.get(f"{split}_dataloader")
        if loader and not loader.get("num_workers"):
            for name in ("persistent_workers", "prefetch_factor", "timeout"):
                loader.pop(name, None)
