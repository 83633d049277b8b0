"""What a training leaves: its best checkpoint and figures, read from a run or from its folder, and said at the end."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from lors_det.data.doctor.constant_box import ConstantBox, best_constant_box
from lors_det.files import short_path
from lors_det.plugin.config.data import annotation_file, evaluators_of, leaf_datasets
from lors_det.plugin.dataset import read_json
from lors_det.plugin.saving.plain_data import history_of
from lors_det.plugin.saving.safe_loading import load_from_local

MONITOR = "coco/bbox_mAP"


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves."""

    work_dir: Path
    config: Path
    """The config as it was trained, with all that was chosen."""
    checkpoint: Path | None
    """The best that ``save_best`` kept; else the last; None if none was written."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the checkpoint's validation, such as ``coco/bbox_mAP``; empty where nothing was validated."""
    constant_box: ConstantBox | None = None
    """The best that a constant box reaches on the validation set, without any model."""


def result_of(runner: Runner, constant_box: ConstantBox | None) -> TrainingResult:
    """The result of a run that has ended."""
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    best, last = (getattr(hook, name, None) for name in ("best_ckpt_path", "last_ckpt"))
    kept = best or (last if last and Path(last).exists() else None)  # a resumed run has a name before the file
    key = getattr(hook, "key_indicators", [None])[0] if best else None
    return TrainingResult(
        work_dir=Path(runner.work_dir),
        config=Path(runner.work_dir, Path(runner.cfg.filename).name),
        checkpoint=Path(kept) if kept else None,
        metrics=_metrics(runner.message_hub.log_scalars, key, getattr(hook, "rules", ["greater"])[0]),
        constant_box=constant_box,
    )


def stored_result(cfg: Config, last: Path, constant_box: ConstantBox | None) -> TrainingResult:
    """The result of a run that had ended before, by what is in its folder.

    Args:
        cfg: the run's, with its work dir.
        last: its last checkpoint, which is the result where no best one lies beside it.
        constant_box: as in :class:`TrainingResult`.

    Raises:
        InputError: if the best checkpoint cannot be read.
    """
    best = max(last.parent.glob("best_*.pth"), key=lambda path: path.stat().st_mtime, default=last)
    scalars = load_from_local(str(best), "cpu").get("message_hub", {}).get("log_scalars", {})
    return TrainingResult(
        work_dir=Path(cfg.work_dir),
        config=Path(cfg.work_dir, Path(cfg.filename).name),
        checkpoint=best,
        # a best checkpoint is written at its validation, and its history ends there
        metrics=_metrics({name: history_of(value) for name, value in scalars.items()}),
        constant_box=constant_box,
    )


def _metrics(scalars: Mapping[str, Any], key: str | None = None, rule: str = "greater") -> dict[str, float]:
    """The figures of the last validation in a history; of the best by a key and its rule, where one is given."""
    history = {
        name.removeprefix("val/"): values.data[0] for name, values in scalars.items() if name.startswith("val/coco/")
    }
    scores = history.get(key or MONITOR, ())
    place = len(scores) - 1
    if key is not None:
        place = (max if rule == "greater" else min)(range(len(scores)), key=lambda index: scores[index], default=0)
    return {name: float(values[place]) for name, values in history.items() if len(values) == len(scores) > 0}


def constant_box_of(cfg: Config) -> ConstantBox | None:
    """That of a config's training and validation sets; None where they are not single files."""
    files = []
    for split in ("train", "val"):
        loader = cfg.get(f"{split}_dataloader")
        files += [annotation_file(dataset) for dataset in leaf_datasets(loader.dataset)] if loader else []
    if len(files) != 2 or not evaluators_of(cfg, "val"):
        return None
    return best_constant_box(*map(read_json, files))


def report(result: TrainingResult) -> None:
    """Print the model's figures beside those of a constant box, and what to do next."""
    if MONITOR in result.metrics:
        ap50 = result.metrics.get(f"{MONITOR}_50")
        kind = "best" if result.checkpoint is not None and result.checkpoint.name.startswith("best_") else "last"
        words = f"AP {result.metrics[MONITOR]:.3f}" + (f", AP50 {ap50:.3f}" if ap50 is not None else "")
        print(f"{kind} validation: {words}")
    if result.constant_box is not None:
        box = result.constant_box
        words = f"AP {box.ap:.3f}, AP50 {box.ap50:.3f}, on {box.num_images} images"
        print(f"without any model, the best constant box: {words}")
    if result.checkpoint is not None:
        config, checkpoint = (shlex.quote(short_path(path)) for path in (result.config, result.checkpoint))
        print(f"next: lors-det test {config} {checkpoint}")
        print(f"      lors-det infer IMAGES --checkpoint {checkpoint}")
