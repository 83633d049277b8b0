"""A training, from a config and if wanted a folder of data, to its best checkpoint."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner, find_latest_checkpoint

from lors_det.data.doctor.constant_box import ConstantBox, best_constant_box
from lors_det.errors import InputError
from lors_det.plugin.config.chosen import check_chosen
from lors_det.plugin.config.data import annotation_file, evaluators_of, leaf_datasets
from lors_det.plugin.config.reading import load_config, read_config, work_dir_of
from lors_det.plugin.dataset import read_json
from lors_det.plugin.hooks.data_guard import check_training_set
from lors_det.plugin.screen.console import make_runner
from lors_det.reports.config_check import schedule_notes
from lors_det.training.launch import (
    FormerRun,
    former_run,
    is_first_process,
    launch,
    resume,
    scale_learning_rate,
    use_mixed_precision,
)
from lors_det.training.shown_folder import read_shown


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves."""

    work_dir: Path
    config: Path
    """The config as it was trained, with all that was chosen."""
    checkpoint: Path | None
    """Of the best validation; where nothing was validated, the last; None if none was written."""
    metrics: dict[str, float] = field(default_factory=dict)
    """The best validation's, such as ``coco/bbox_mAP``; empty where nothing was validated."""
    constant_box: ConstantBox | None = None
    """The best that a constant box reaches on the validation set, without any model."""


def train(
    config: str | Path,
    data: str | Path | None = None,
    *,
    work_dir: str | Path | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    image_side: int | None = None,
    load_from: str | Path | None = None,
    resume_from: str | Path | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    local_rank: int = 0,
    console: str = "short",
) -> TrainingResult:
    """Train what a config says, on its own data or on a folder's.

    Args:
        config: a file, or the name of a packaged config, such as "lors_det::finetune/...".
        data: a folder in COCO, Pascal VOC or YOLO form, see :func:`lors_det.data.folder.read_folder`.
        work_dir: logs and checkpoints; ``work_dirs/<the config's path>`` by default.
        epochs: ``train_cfg.max_epochs``.
        batch_size: ``train_dataloader.batch_size``.
        image_side: pixels of the network's image, for a config that leaves it to the data.
        load_from: checkpoint whose weights to start from; class heads follow the data.
        resume_from: checkpoint to go on from, or "auto" for the work dir's last.
        amp: mixed precision, on a GPU.
        auto_scale_lr: scale the learning rate to the batch size.
        options: further values of the config, by key with dots.
        launcher: "none", "pytorch", "slurm" or "mpi".
        local_rank: set by the launcher.
        console: how much is said, one of :data:`lors_det.plugin.screen.console.LEVELS`.

    Raises:
        InputError: if config, data or checkpoint is wrong; it names what, where and the remedy.
        KeyboardInterrupt: on Ctrl-C; it says how to go on.
    """
    chosen: list[str] = []
    if load_from is not None and "://" not in str(load_from) and not Path(load_from).is_file():
        raise InputError(f"load_from {load_from} is no file; name a checkpoint")
    folder = read_shown(data, quiet=console == "quiet") if data is not None else None
    flags = {"train_cfg.max_epochs": epochs, "train_dataloader.batch_size": batch_size, "load_from": load_from}
    given = {key: str(value) if key == "load_from" else value for key, value in flags.items() if value is not None}
    all_options = {**(options or {}), **given}
    place = str(work_dir) if work_dir is not None else None
    former = None
    if resume_from is not None:
        former = former_run(resume_from, work_dir_of(read_config(config, all_options), place, folder))
    cfg = load_config(
        config,
        all_options,
        place,
        data=folder,
        image_side=image_side,
        before=former.config if former else None,
        say=chosen.append,
    )
    check_chosen(cfg)
    if former and former.epoch >= cfg.train_cfg.get("max_epochs", math.inf):
        print(f"nothing is left to train: {former.checkpoint} is of epoch {former.epoch}; --epochs N goes on")
        return TrainingResult(Path(cfg.work_dir), Path(cfg.work_dir, Path(cfg.filename).name), former.checkpoint)
    if is_first_process():
        for words in chosen if console != "quiet" else ():
            print(f"chosen: {words}")
        for note in schedule_notes(cfg):
            print(f"warning: {note}", file=sys.stderr)
        if resume_from is None and Path(cfg.work_dir, "last_checkpoint").is_file():
            print(
                f"warning: {cfg.work_dir} has checkpoints of an earlier run, which this one writes over; "
                "--resume goes on with that run, --work-dir names another place",
                file=sys.stderr,
            )
    launch(cfg, launcher, local_rank)
    if amp:
        use_mixed_precision(cfg)
    if auto_scale_lr:
        scale_learning_rate(cfg)
    if resume_from is not None:
        resume(cfg, str(resume_from))
    try:
        runner = make_runner(cfg, console)
        check_training_set(runner.train_loop.dataloader)
        if former and is_first_process():
            _compare_steps(former, len(runner.train_loop.dataloader))
        runner.train()
    except KeyboardInterrupt as interrupt:
        last = find_latest_checkpoint(cfg.work_dir)
        remedy = f"go on from the last checkpoint, {last}, with --resume" if last else "no checkpoint was written yet"
        raise KeyboardInterrupt(remedy) from interrupt
    result = _result(runner, constant_box=_constant_box(cfg) if data is not None or chosen else None)
    if runner.rank == 0:
        _report(result)
    return result


def _compare_steps(former: FormerRun, epoch_steps: int) -> None:
    """Warn of another number of images or batch size than the run had that is resumed."""
    if former.epoch_steps not in (None, epoch_steps):
        print(
            f"warning: an epoch had {former.epoch_steps} steps when {former.checkpoint} was written, and now has "
            f"{epoch_steps}: the training set or the batch size has changed, and the schedule follows the new one",
            file=sys.stderr,
        )


def _constant_box(cfg: Config) -> ConstantBox | None:
    """That of a config's training and validation sets; None where they are not single files."""
    files = []
    for split in ("train", "val"):
        loader = cfg.get(f"{split}_dataloader")
        files += [annotation_file(dataset) for dataset in leaf_datasets(loader.dataset)] if loader else []
    if len(files) != 2 or not evaluators_of(cfg, "val"):
        return None
    return best_constant_box(*map(read_json, files))


def _result(runner: Runner, constant_box: ConstantBox | None) -> TrainingResult:
    work_dir = Path(runner.work_dir)
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    best = getattr(hook, "best_ckpt_path", None) or getattr(hook, "last_ckpt", None)
    history = {
        name.removeprefix("val/"): values.data[0]
        for name, values in runner.message_hub.log_scalars.items()
        if name.startswith("val/coco/")
    }
    scores = history.get("coco/bbox_mAP", ())
    place = max(range(len(scores)), key=lambda index: scores[index], default=0)
    return TrainingResult(
        work_dir=work_dir,
        config=work_dir / Path(runner.cfg.filename).name,
        checkpoint=Path(best) if best else None,
        metrics={name: float(values[place]) for name, values in history.items() if len(values) == len(scores)},
        constant_box=constant_box,
    )


def _short(path: Path) -> str:
    """As seen from the working folder, where it is below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _report(result: TrainingResult) -> None:
    """The model's figures beside those of a constant box, and what to do next."""
    if result.metrics:
        ap, ap50 = result.metrics["coco/bbox_mAP"], result.metrics["coco/bbox_mAP_50"]
        print(f"best validation: AP {ap:.3f}, AP50 {ap50:.3f}")
    if result.constant_box is not None:
        box = result.constant_box
        print(f"without any model, the best constant box: AP {box.ap:.3f}, AP50 {box.ap50:.3f}")
    if result.checkpoint is not None:
        config, checkpoint = (shlex.quote(_short(path)) for path in (result.config, result.checkpoint))
        print(f"next: lors-det test {config} {checkpoint}")
        print(f"      lors-det infer IMAGES --checkpoint {checkpoint}")
