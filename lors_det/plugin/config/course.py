"""What of a config decides the weights that a training ends with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from lors_det.plugin.config.names import leaves

_COURSE = ("model", "train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg", "randomness", "sync_bn")
"""Parts of a config that do."""

OWN_HOOKS = (
    "timer|logger|param_scheduler|checkpoint|sampler_seed|visualization|runtime_info|early_check|num_classes"
    "|plain_checkpoint|checkpoint_guard|data_guard|folding"
)
"""Names of the hooks that runs have by themselves and that decide no figure, as a pattern."""

_OF_NO_MATTER = re.compile(
    r"train_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor|timeout|disable_subprocess_warning)"
    r"|train_dataloader\.dataset\..*(data_root|ann_file|data_prefix\.\w+|backend_args.*)"  # the set may have moved
    r"|train_cfg\.(type|max_epochs|max_iters|val_interval|val_begin|dynamic_intervals.*|when_not_finite)"
    r"|model\.(.*\.)?init_cfg.*|model\.test_cfg.*"
)
"""Values among them that do not, or that are there to be changed: a training is made longer."""


def course(cfg: Config) -> Iterator[tuple[str, Any]]:
    """Values of a config that decide what weights a training ends with, by key with dots; not how long it is."""
    for key, value in leaves(cfg._cfg_dict):
        if key.partition(".")[0] in _COURSE and not _OF_NO_MATTER.fullmatch(key):
            yield key, list(value) if isinstance(value, tuple) else value
