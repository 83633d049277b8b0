"""What the weights themselves reach, after a training that has validated a mean of them."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from lors_det.errors import InputError
from lors_det.plugin.saving.latest import latest_checkpoint
from lors_det.plugin.screen.console import make_runner
from lors_det.studies.fingerprints import drop_mean


def validate_current(work_dir: Path, config: str) -> dict[str, float]:
    """Validate the weights of a run's last checkpoint, whose ``state_dict`` is their mean.

    mmengine's EMAHook keeps the weights that the optimiser moves under ``ema_state_dict``, with ``module.`` before
    their names.

    Args:
        work_dir: of the run, where the config lies as it was trained; the validation's log is in ``current``.
        config: path or name of the config.

    Returns:
        Metrics, such as ``coco/bbox_mAP``.

    Raises:
        InputError: if the run's checkpoints are gone.
    """
    last = latest_checkpoint(work_dir)
    if last is None:
        raise InputError(f"{work_dir} has no checkpoint any more, so that its weights cannot be validated")
    cfg = Config.fromfile(work_dir / Path(config).name)
    drop_mean(cfg)
    cfg.work_dir, cfg.load_from, cfg.resume = str(work_dir / "current"), None, False
    kept = last.content["ema_state_dict"]
    weights = {name.removeprefix("module."): value for name, value in kept.items() if name.startswith("module.")}
    runner = make_runner(cfg, "quiet")
    runner.model.load_state_dict(weights)
    return {name: float(value) for name, value in runner.val().items()}
