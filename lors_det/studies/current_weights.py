"""What the weights themselves reach, after a training that has validated a mean of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lors_det.plugin.screen.console import make_runner
from lors_det.studies.fingerprints import drop_mean


def validate_current(config: Path, checkpoint: Mapping[str, Any], work_dir: Path) -> dict[str, float]:
    """Validate the weights of a checkpoint whose ``state_dict`` is their mean.

    mmengine's EMAHook keeps the weights that the optimiser moves under ``ema_state_dict``, with ``module.`` before
    their names.

    Args:
        config: the run's, as it was trained.
        checkpoint: what its last one holds.
        work_dir: for the validation's own log.

    Returns:
        Metrics, such as ``coco/bbox_mAP``.
    """
    cfg = Config.fromfile(config)
    drop_mean(cfg)
    cfg.work_dir, cfg.load_from, cfg.resume = str(work_dir), None, False
    kept = checkpoint["ema_state_dict"]
    weights = {name.removeprefix("module."): value for name, value in kept.items() if name.startswith("module.")}
    runner = make_runner(cfg, "quiet")
    runner.model.load_state_dict(weights)
    return {name: float(value) for name, value in runner.val().items()}
