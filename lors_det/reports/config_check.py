"""Parts of a config held against each other, without training."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, EVALUATOR, HOOKS, MODELS, PARAM_SCHEDULERS, VISUALIZERS
from mmengine.runner import Runner
from torch import nn

from lors_det.errors import InputError
from lors_det.plugin.activation_checkpointing import check_activation_checkpointing
from lors_det.plugin.config.by_iterations import check_by_iterations
from lors_det.plugin.config.data import annotation_file, evaluators_of, leaf_datasets
from lors_det.plugin.config.schedules import schedules_of
from lors_det.plugin.hooks.data_guard import check_training_set, check_validation_set
from lors_det.plugin.mmcv_ops import shapes_alone
from lors_det.plugin.norm_folding import check_efficient_conv_bn_eval
from lors_det.plugin.optimizer import check_custom_keys
from lors_det.plugin.unwrapped import datasets_in
from lors_det.reports.accounting import build_model


def check_config(cfg: Config) -> list[str]:
    """Build all that a config describes, and hold its parts against each other.

    The model runs on shapes alone; data that is not there is not built, and reported as such.

    Returns:
        What looks wrong, in words; none of it keeps a run from working.

    Raises:
        InputError: if a part cannot be built, or no run with it could work; it names the key.
    """
    model = _built("model", lambda: build_model(cfg)).to("meta")
    recomputed = cfg.get("activation_checkpointing")
    check_activation_checkpointing(recomputed, model)
    check_efficient_conv_bn_eval(cfg.get("efficient_conv_bn_eval"), model, recomputed=recomputed)
    notes = []
    if cfg.get("optim_wrapper"):
        wrapper = cfg.optim_wrapper.copy()
        if wrapper.get("type") == "AmpOptimWrapper" and not torch.cuda.is_available():
            notes.append("optim_wrapper.type AmpOptimWrapper needs a GPU, and this machine has none")
            wrapper = ConfigDict({k: v for k, v in wrapper.items() if k not in _OF_AMP}, type="OptimWrapper")
        check_custom_keys(model, wrapper.get("paramwise_cfg"))
        with _quiet_log():
            optimizer = _built("optim_wrapper", lambda: build_optim_wrapper(model, wrapper))
        for key, schedule in schedules_of(cfg):
            _built(key, lambda s=schedule: _schedule(s, optimizer))
    chosen = cfg.get("visualizer") or dict(type="DetLocalVisualizer")
    # of a name that is there, mmengine would give the one that was built before
    visualizer = {**chosen, "vis_backends": None, "name": f"check-{uuid4().hex}"}
    _built("visualizer", lambda: VISUALIZERS.build(visualizer))  # the hook that draws asks for it
    for name, hook in {**cfg.default_hooks, **dict(enumerate(cfg.get("custom_hooks") or ()))}.items():
        if not isinstance(hook, Hook | None):
            built = _built(f"hook {name}", lambda h=hook: HOOKS.build({k: v for k, v in h.items() if k != "priority"}))
            if isinstance(built, EMAHook):  # which builds its mean when training begins
                given = {**built.ema_cfg, "model": nn.Linear(1, 1)}
                _built(f"hook {name}", lambda given=given: MODELS.build(given))
    _built("model.bbox_head.decoder", lambda: _run_once(model))
    check_by_iterations(cfg)
    return [*notes, *_queries(cfg), *_residuals(cfg), *schedule_notes(cfg), *_data(cfg)]


_OF_AMP = ("type", "dtype", "loss_scale", "use_fsdp")


def _built(key: str, build: Any) -> Any:
    try:
        return build()
    except InputError:
        raise
    except Exception as error:  # whatever a class makes of its arguments
        raise InputError(f"config key {key}: {type(error).__name__}: {error}") from error


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Without mmengine's lines, one for each parameter whose rate or decay is its own."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _schedule(schedule: dict[str, Any], optimizer: Any) -> Any:
    whole = {**schedule, "begin": schedule.get("begin") or 0}  # None: not chosen yet, without data
    return PARAM_SCHEDULERS.build(whole, default_args=dict(optimizer=optimizer, epoch_length=1000))


def _run_once(model: nn.Module) -> None:
    """A forward pass, for shapes alone."""
    with torch.no_grad(), shapes_alone():
        model(torch.zeros(1, 3, 64, 64, device="meta"))


def _queries(cfg: Config) -> Iterator[str]:
    head = cfg.model.bbox_head
    kept = (cfg.model.get("test_cfg") or {}).get("max_per_img")
    if kept and head.num_classes and kept > head.num_queries * head.num_classes:
        raise InputError(
            f"config key model.test_cfg.max_per_img is {kept}, but {head.num_queries} queries with {head.num_classes} "
            f"classes give {head.num_queries * head.num_classes} detections at most"
        )
    if kept and kept < head.num_queries:
        yield f"model.test_cfg.max_per_img is {kept}, fewer than the {head.num_queries} queries: detections are lost"


def _residuals(cfg: Config) -> Iterator[str]:
    decoder = cfg.model.bbox_head.decoder
    share, rank = decoder.share, decoder.get("adaptive_rank", 0)
    users = [share.count(base) for base in set(share) - {None}]
    corrected = [name for name in ("adaptive_rank", "static_rank", "layer_rank") if decoder.get(name)]
    if corrected and users and max(users) == 1:
        yield f"share={tuple(share)} shares nothing, so {', '.join(corrected)} add parameters without need"
    channels = decoder.get("dim", 256) // decoder.num_groups
    full = min(channels, decoder.num_points, decoder.num_out_points)
    groups = decoder.get("adaptive_groups") or ()
    ranks = [rank] * len(groups) if isinstance(rank, int) else rank
    if rank and max((own * number for own, number in zip(ranks, groups)), default=0) >= full:
        yield (
            f"adaptive_rank={rank} in up to {max(groups)} groups reaches the full rank of the smallest generated "
            f"kernel, {full}: such a stage would have fewer parameters with a base of its own"
        )


_BEGINNINGS = {"begin_epoch": ("epochs", 1), "begin_iter": ("iterations", 1), "switch_epoch": ("epochs", 0)}
"""When a hook begins, of mmengine's EMAHook and mmdet's PipelineSwitchHook: the unit, and the first one's number."""


def schedule_notes(cfg: Config) -> Iterator[str]:
    """What in the schedules does not fit the length of the run, in words."""
    loop = cfg.get("train_cfg") or {}
    lengths = {"epochs": loop.get("max_epochs"), "iterations": loop.get("max_iters")}
    epochs, interval = lengths["epochs"], loop.get("val_interval", 1) or 1
    if epochs and cfg.get("val_dataloader") and interval > epochs:
        yield f"train_cfg.val_interval is {interval}, more than the {epochs} epochs: the last alone is validated"
    if epochs and cfg.get("val_dataloader") and (begin := loop.get("val_begin", 1)) > epochs:
        yield f"train_cfg.val_begin is {begin}, more than the {epochs} epochs: nothing is validated, no best is kept"
    for key, schedule in schedules_of(cfg):
        unit = "epochs" if schedule.get("by_epoch", True) else "iterations"
        length = lengths[unit]
        if length is None:
            continue
        late = [step for step in schedule.get("milestones", ()) if step >= length]
        if late:
            yield f"{key}.milestones {late} are never met in {length} {unit}"
        if unit == "epochs" and schedule.get("end", length) != length:
            yield (f"{key}.end is {schedule.end}, and training ends after {length} epochs; leave it out to follow")
    for number, hook in enumerate(cfg.get("custom_hooks") or ()):
        for name, (unit, first) in _BEGINNINGS.items():
            begin, length = (hook or {}).get(name), lengths[unit]
            if begin and length and begin - first >= length:
                yield (
                    f"custom_hooks.{number}.{name} is {begin}, and training ends after {length} {unit}: "
                    f"{hook.get('type')} never begins"
                )


def _data(cfg: Config) -> Iterator[str]:
    """Of sets that are there: loader, first sample, boxes, and whether there are more of them than queries."""
    for split in ("train", "val"):
        loader = cfg.get(f"{split}_dataloader")
        if not loader:
            continue
        try:
            dataset = DATASETS.build(loader.dataset)
        except (InputError, FileNotFoundError) as error:
            if all(Path(annotation_file(each)).is_file() for each in leaf_datasets(loader.dataset)):
                raise InputError(f"config key {split}_dataloader.dataset: {error}") from error
            yield f"{split}_dataloader was not built: {error}"
            continue
        except Exception as error:
            raise InputError(f"config key {split}_dataloader.dataset: {type(error).__name__}: {error}") from error
        _built(f"{split}_dataloader.dataset.pipeline", lambda d=dataset: d[0])
        whole = {**loader, "dataset": dataset, "batch_size": loader.get("batch_size") or 1}
        built = _built(f"{split}_dataloader", lambda c=whole: Runner.build_dataloader(c))
        if split == "train":
            check_training_set(built, by_epochs="max_iters" not in cfg.train_cfg)
            if epochs := cfg.train_cfg.get("max_epochs"):
                yield from unfinished_schedules(cfg, len(built) * epochs)
        else:
            check_validation_set(dataset)
        yield from _crowded(split, dataset, cfg.model.bbox_head.num_queries)
    for split in ("val", "test"):
        for evaluator in evaluators_of(cfg, split):
            if evaluator.get("ann_file") and not Path(evaluator.ann_file).is_file():
                continue  # as its set, which was told of above
            _built(f"{split}_evaluator", lambda e=evaluator: EVALUATOR.build(dict(type="Evaluator", metrics=[e])))


def _crowded(split: str, dataset: Any, num_queries: int) -> Iterator[str]:
    counts = [
        len(each.get_data_info(index).get("instances", ()))
        for each in datasets_in(dataset)
        for index in range(len(each))
    ]
    crowded = sum(count > num_queries for count in counts)
    if crowded:
        yield (
            f"{crowded} of {len(counts)} {split} images have more boxes than the {num_queries} queries "
            f"(up to {max(counts)}); what is beyond cannot be detected: raise model.bbox_head.num_queries"
        )


def unfinished_schedules(cfg: Config, num_steps: int) -> Iterator[str]:
    """Schedules, counted in steps, that are longer than a process's training, in words."""
    for key, schedule in schedules_of(cfg):
        if not schedule.get("by_epoch", True) and schedule.get("end", 0) > num_steps:
            yield (
                f"{key}.end is {schedule.end}, and one process trains {num_steps} steps in all: this "
                f"{schedule.get('type')} does not end, and the learning rate it leads to is not reached; train longer"
            )
