"""A training, from a config and if wanted a folder of data, to its best checkpoint."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from lors_det.errors import InputError
from lors_det.files import check_folder
from lors_det.plugin.activation_checkpointing import check_activation_checkpointing
from lors_det.plugin.config.by_iterations import check_by_iterations
from lors_det.plugin.config.chosen import check_chosen
from lors_det.plugin.config.reading import load_config, read_config, work_dir_of
from lors_det.plugin.hooks.data_guard import check_training_set
from lors_det.plugin.loop.ending import heard_again
from lors_det.plugin.norm_folding import check_efficient_conv_bn_eval
from lors_det.plugin.optimizer import check_custom_keys
from lors_det.plugin.saving.checkpoint_hook import finish_writing
from lors_det.plugin.saving.safe_loading import trust
from lors_det.plugin.screen.console import make_runner
from lors_det.processes import is_first_process, process_count
from lors_det.reports.config_check import schedule_notes, unfinished_schedules
from lors_det.reports.config_folder import training_size
from lors_det.training.launch import (
    check_mixed_precision,
    launch,
    rate_notes,
    scale_learning_rate,
    use_mixed_precision,
)
from lors_det.training.not_mixed import check_not_mixed
from lors_det.training.result import TrainingResult, constant_box_of, report, result_of, stored_result
from lors_det.training.resuming import FormerRun, check_agreed, check_same, former_run, may_be_restarted, resume
from lors_det.training.shown_folder import read_shown


def train(
    config: str | Path,
    data: str | Path | None = None,
    *,
    work_dir: str | Path | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    image_side: int | None = None,
    seed: int | None = None,
    load_from: str | Path | None = None,
    resume_from: str | Path | None = None,
    resume_anyway: bool = False,
    trust_checkpoint: bool = False,
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
        work_dir: logs and checkpoints, of this run alone; ``work_dirs/<the config's path>`` by default.
        epochs: ``train_cfg.max_epochs``.
        batch_size: ``train_dataloader.batch_size``.
        image_side: pixels of the network's image, for a config that leaves it to the data.
        seed: ``randomness.seed``.
        load_from: checkpoint whose weights to start from; class heads follow the data.
        resume_from: checkpoint to go on from, or "auto" for the work dir's last; "auto" by default where torchrun
            starts processes again that fail.
        resume_anyway: go on where config, batch or number of processes have changed.
        trust_checkpoint: unpickle the file that is named to load or to go on from, whatever code is in it.
        amp: mixed precision, on a GPU.
        auto_scale_lr: scale the learning rate to the batch size.
        options: further values of the config, by key with dots.
        launcher: "none", "pytorch", "slurm" or "mpi".
        local_rank: set by the launcher.
        console: how much is said, one of :data:`lors_det.plugin.screen.console.LEVELS`.

    Raises:
        InputError: if config, data or checkpoint is wrong; it names what, where and the remedy.
        KeyboardInterrupt: on Ctrl-C, :class:`~lors_det.errors.Terminated` on SIGTERM; it says how to go on.
    """
    if resume_from is None and may_be_restarted():
        resume_from = "auto"
    if load_from is not None and "://" not in str(load_from):
        load_from = Path(load_from).expanduser()
    _check_files(load_from, resume_from, trusted=trust_checkpoint, anyway=resume_anyway)
    given = {
        "train_cfg.max_epochs": epochs,
        "train_dataloader.batch_size": batch_size,
        "randomness.seed": seed,
        "load_from": None if load_from is None else str(load_from),
    }
    all_options = {**(options or {}), **{key: value for key, value in given.items() if value is not None}}
    place = str(Path(work_dir).expanduser()) if work_dir is not None else None
    if place is not None:
        check_folder(Path(place))
    folder = None
    if data is not None:
        size = (image_side, image_side) if image_side else training_size(read_config(config, all_options))
        folder = read_shown(data, training_size=size, quiet=console == "quiet")
    written = read_config(config, all_options)
    place_of_run = work_dir_of(written, place, folder)
    former = former_run(resume_from, place_of_run) if resume_from is not None else None
    hook = (written.get("default_hooks") or {}).get("checkpoint") or {}
    check_not_mixed(place_of_run, former, resume_from, hook.get("out_dir"))
    chosen: list[str] = []
    cfg = load_config(
        config,
        all_options,
        place,
        data=folder,
        image_side=image_side,
        before=former.config if former else None,
        processes=process_count(launcher),
        say=chosen.append,
    )
    check_by_iterations(cfg)
    check_chosen(cfg)
    own_data = data is not None or bool(chosen)
    if former and former.is_validated and former.epoch >= cfg.train_cfg.get("max_epochs", math.inf):
        result = stored_result(cfg, former.checkpoint, constant_box_of(cfg) if own_data else None)
        if is_first_process():
            print(f"nothing is left to train: {former.checkpoint} is of epoch {former.epoch}; --epochs N goes on")
            report(result)
        return result
    if is_first_process():
        for words in chosen if console != "quiet" else ():
            print(f"chosen: {words}")
        _warn(schedule_notes(cfg))
    launch(cfg, launcher, local_rank)
    if amp:
        use_mixed_precision(cfg)
    check_mixed_precision(cfg)
    if auto_scale_lr:
        scale_learning_rate(cfg)
    if former is None and is_first_process():
        _warn(rate_notes(cfg, process_count(launcher)))
    if resume_from is not None:
        resume(cfg, str(resume_from), former)
    runner = _run(cfg, former, anyway=resume_anyway, console=console)
    result = result_of(runner, constant_box_of(cfg) if own_data else None)
    if runner.rank == 0:
        report(result)
    return result


def _check_files(load_from: str | Path | None, resume_from: str | Path | None, *, trusted: bool, anyway: bool) -> None:
    """Refuse a file of weights that is none, and words about checkpoints where none is named; trust those that are."""
    if isinstance(load_from, Path) and not load_from.is_file():
        raise InputError(f"load_from {load_from} is no file; name a checkpoint")
    if trusted:
        named = [path for path in (load_from, resume_from) if path not in (None, "auto")]
        if not named:
            raise InputError("--trust-checkpoint trusts no file: name one with --load-from or --resume")
        for path in named:
            trust(path)
    if anyway and resume_from is None:
        raise InputError("--resume-anyway goes on with a run, and none is named: add --resume")


def _run(cfg: Config, former: FormerRun | None, *, anyway: bool, console: str) -> Runner:
    """Build what a config says, refuse what only the built parts tell, and train."""
    runner = None
    try:
        runner = make_runner(cfg, console)
        recomputed, folded = cfg.get("activation_checkpointing"), cfg.get("efficient_conv_bn_eval")
        check_activation_checkpointing(recomputed, runner.model)
        check_efficient_conv_bn_eval(folded, runner.model, recomputed=recomputed)
        check_custom_keys(runner.model, cfg.optim_wrapper.get("paramwise_cfg"))
        by_epochs = "max_iters" not in cfg.train_cfg
        check_training_set(runner.train_loop.dataloader, by_epochs=by_epochs)
        _warn(unfinished_schedules(cfg, runner.max_iters) if runner.rank == 0 else ())
        if by_epochs:  # the loss that is told of a short epoch is a mean of its own steps
            steps = len(runner.train_loop.dataloader)
            runner.log_processor.window_size = min(runner.log_processor.window_size, steps)
        check_agreed(former, runner)
        if former:
            check_same(former, runner, anyway=anyway)
        runner.train()
    except KeyboardInterrupt as interrupt:
        last = finish_writing(runner) or (former and former.checkpoint)
        remedy = f"go on from the last checkpoint, {last}, with --resume" if last else "no checkpoint was written yet"
        if runner is not None and runner.rank > 0:
            remedy = "the first process says how to go on"
        raise type(interrupt)(remedy) from interrupt
    finally:
        heard_again()
    return runner


def _warn(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)
