"""A run in a few rows, before its first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch import nn

from lors_det.adamixer import Decoder, InitialQueries
from lors_det.data.words import counted, listed
from lors_det.files import short_path
from lors_det.plugin.config.data import annotation_file, leaf_datasets
from lors_det.plugin.unwrapped import datasets_in, unwrapped

MAX_CLASSES = 8
"""Classes that are named one by one."""


def training_rows(runner: Runner) -> dict[str, str]:
    """Model, decoder, data, schedule, start, device and folder of a training whose loops are built."""
    loop = runner.train_loop
    data = [_images("train", loop.dataloader)]
    if isinstance(runner._val_loop, BaseLoop):
        data.append(_images("val", runner._val_loop.dataloader))
    rows = {
        **_model(runner.model),
        "data": ", ".join(data) + _classes(loop.dataloader.dataset),
        "schedule": _schedule(runner),
    }
    if runner.iter > 0:
        rows["start"] = f"goes on after step {runner.iter} of {runner.max_iters}{_place(runner)}"
    elif runner._load_from:
        rows["start"] = f"weights of {short_path(runner._load_from)}"
    return {**rows, "device": _device(runner), "work dir": short_path(runner.work_dir), "log": _log(runner)}


def test_rows(runner: Runner) -> dict[str, str]:
    """Model, decoder, data, checkpoint, device and log of a test whose loop is built."""
    loader = runner.test_loop.dataloader
    files = ", ".join(short_path(each.ann_file) for each in datasets_in(loader.dataset) if hasattr(each, "ann_file"))
    data = counted(len(loader.dataset), "image") + (f" of {files}" if files else "") + _classes(loader.dataset)
    rows = {**_model(runner.model), "data": data}
    if _is_val_set(runner):
        rows["split"] = "that of the validations, by which a training chooses its best checkpoint"
    if runner._load_from:
        rows["weights"] = short_path(runner._load_from)
    return {**rows, "device": _device(runner), "log": _log(runner)}


def _is_val_set(runner: Runner) -> bool:
    """Whether the images that are tested are those of the validations."""
    tested, validated = (_annotation_files(runner, split) for split in ("test", "val"))
    return bool(tested) and tested == validated


def _annotation_files(runner: Runner, split: str) -> set[Path]:
    loader = runner.cfg.get(f"{split}_dataloader")
    datasets = leaf_datasets(loader.dataset) if loader else ()
    return {annotation_file(each).resolve() for each in datasets if each.get("ann_file")}


def _model(model: Any) -> dict[str, str]:
    model = unwrapped(model)
    queries = next((len(module.content) for module in model.modules() if isinstance(module, InitialQueries)), None)
    words = f"{type(model).__name__}, {_count(model)} parameters"
    rows = {"model": words + (f", {counted(queries, 'query')}" if queries else "")}
    decoder = next((module for module in model.modules() if isinstance(module, Decoder)), None)
    if decoder is None:
        return rows
    share = decoder.spec.share
    sets = len(set(share))
    stages = counted(len(share), "stage")
    if sets < len(share):
        stages += f" on {counted(sets, 'set')} of weights"
    return {**rows, "decoder": f"{_count(decoder)} parameters, {stages}"}


def _count(module: nn.Module) -> str:
    number = sum(parameter.numel() for parameter in module.parameters())
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"


def _place(runner: Runner) -> str:
    """In which epoch a run goes on; one by iterations has none."""
    loop = runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop):
        return ""
    made = runner.iter - runner.epoch * len(loop.dataloader)
    return f", {made} of epoch {runner.epoch + 1}" if made > 0 else f", epoch {runner.epoch}"


def _images(split: str, loader: Any) -> str:
    return f"{split} {counted(len(loader.dataset), 'image')}"


def _classes(dataset: Any) -> str:
    names = list((getattr(dataset, "metainfo", None) or {}).get("classes", ()))
    if not names:
        return ""
    which = f": {listed(names)}" if len(names) <= MAX_CLASSES else ""
    return f"; {counted(len(names), 'class')}{which}"


def _schedule(runner: Runner) -> str:
    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop):
        length = f"{counted(loop.max_epochs, 'epoch')} of {counted(len(loop.dataloader), 'step')}"
    else:
        length = counted(loop.max_iters, "step")
    batch = getattr(loop.dataloader, "batch_size", None) or getattr(loop.dataloader.batch_sampler, "batch_size", "?")
    words = f"{length}, batch {_effective(batch, runner)}"
    optimizer = getattr(runner.optim_wrapper, "optimizer", None)
    if optimizer is not None:
        rate = max(group.get("initial_lr", group["lr"]) for group in optimizer.param_groups)
        words += f", {type(optimizer).__name__} lr {rate:.1e}"
    return words


def _effective(batch: Any, runner: Runner) -> str:
    """Images of an update of the weights, and how they come together."""
    steps = getattr(runner.optim_wrapper, "_accumulative_counts", 1)
    parts = [f"{batch} on each of {runner.world_size}"] if runner.world_size > 1 else []
    parts += [f"{steps} steps an update"] if steps > 1 else []
    if not parts or not isinstance(batch, int):
        return str(batch)
    return f"{batch * runner.world_size * steps} ({', '.join(parts)})"


def _device(runner: Runner) -> str:
    parameter = next(runner.model.parameters())
    if parameter.is_cuda:
        name = torch.cuda.get_device_name(parameter.device)
    else:
        threads = torch.get_num_threads()
        name = f"{parameter.device.type.upper()}, {counted(threads, 'thread')}"
    number = f"{runner.world_size} x " if runner.world_size > 1 else ""
    precision = ""
    if isinstance(runner.optim_wrapper, AmpOptimWrapper):
        dtype = runner.optim_wrapper.cast_dtype or torch.get_autocast_dtype(parameter.device.type)
        precision = f", {str(dtype).removeprefix('torch.')}"
    return f"{number}{name}{precision}"


def _log(runner: Runner) -> str:
    return short_path(Path(runner.log_dir, f"{runner.timestamp}.log"))
