"""Checkpoint files between formats. Nothing is written unless all of it could be converted."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor

from lors_det.checkpoints.around_decoder import check_around_decoder
from lors_det.checkpoints.contents import (
    DECODER,
    class_names,
    has_denoising,
    leave_out_run,
    save,
    todays_names,
    weights_in,
)
from lors_det.checkpoints.published_names import UNUSED, from_published, published_model, to_published
from lors_det.errors import InputError
from lors_det.files import check_folder
from lors_det.plugin.saving.not_in_weights import META, PUBLISHED, differences, of_training
from lors_det.plugin.saving.safe_loading import load_from_local
from lors_det.plugin.saving.stored_config import config_of
from lors_det.plugin.saving.training_parts import drop_training_parts
from lors_det.plugin.saving.weights_file import is_weights_file

_UNREAD = "published_unread"
"""Where a converted checkpoint keeps the published table that no model reads."""


def convert_file(src: Path, dst: Path, *, back: bool = False) -> str:
    """Convert a published checkpoint to this project's names, or back; returns what was done, in words.

    Weights and class names are carried over, the state of the training is not. The published table that no model
    reads travels beside the weights, so that the way back restores it; a safetensors file does not hold it.
    From torch's file to safetensors, or back, a checkpoint may have this project's names already; its config is
    carried over too.

    Raises:
        InputError: if the file is no plain data, or if its weights are not all those, in name and shape, of a model
            that the conversion knows, or it was trained with values that no published model has.
    """
    checkpoint = load_from_local(str(src), "cpu")
    weights = weights_in(checkpoint, src)
    unread = checkpoint.get(_UNREAD)
    if not back and any(name.startswith(DECODER) for name in weights):
        if is_weights_file(src) != is_weights_file(dst):
            content = _without_training(checkpoint, src)
            save(content, dst)
            kept = ", and the config," if "config_data" in content["meta"] else ""
            return f"{len(content['state_dict'])} tensors{kept} in {dst}"
        other = ".pth" if is_weights_file(src) else ".safetensors"
        raise InputError(
            f"checkpoint {src} has this project's names already; --to-published converts it back, --publish leaves out "
            f"what training alone needs, and a name that ends in {other} makes such a file of it"
        )
    if back and (words := differences(of_training(checkpoint), PUBLISHED)):
        raise InputError(f"checkpoint {src} is of no published model; of those {'; '.join(words)}")
    try:
        if back:
            weights = todays_names(dict(weights))
            drop_training_parts(weights)
            converted = to_published(weights, unread if isinstance(unread, Tensor) else None)
            backbone = check_around_decoder(weights)
            model = published_model(converted)
        else:
            converted = from_published(weights)
            backbone = check_around_decoder(converted)
            model = published_model(weights)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"checkpoint {src}: {error}") from error
    left = {_UNREAD: weights[UNUSED]} if UNUSED in weights else {}
    values = {} if back else {META: dict(PUBLISHED)}
    save({"meta": {**class_names(checkpoint), **values}, "state_dict": converted, **left}, dst)
    direction = "to" if back else "from"
    return f"{model}, {backbone}: {len(weights)} tensors {direction} published names, {len(converted)} in {dst}"


def publish_file(src: Path, folder: Path) -> str:
    """Write a checkpoint without its training's state as ``<config>_<time>-<sha256[:8]>.pth``, as mmdet names its own.

    Weights, config, class names and what a config's values say of them are carried over. The name's first part is that
    of the run, and its end the beginning of the file's SHA-256, which tells whether a download is whole.

    Returns:
        What was done, in words.

    Raises:
        InputError: if the folder is a file or cannot be written, or the checkpoint is not one that a training of this
            project left.
    """
    check_folder(folder)
    checkpoint = load_from_local(str(src), "cpu")
    run = (checkpoint.get("meta") or {}).get("experiment_name")
    content = _without_training(checkpoint, src)
    if not run or "config_data" not in content["meta"]:
        raise InputError(f"checkpoint {src} does not name its run and its config; publish one that a training left")
    if not isinstance(run, str) or run != Path(run).name:
        raise InputError(f"checkpoint {src} names its run {run!r}, which is no file's name; save it with another")
    folder.mkdir(parents=True, exist_ok=True)
    unnamed = folder / f"{run}.pth.tmp"
    try:
        save(content, unnamed)
        path = folder / f"{run}-{hashlib.sha256(unnamed.read_bytes()).hexdigest()[:8]}.pth"
        unnamed.replace(path)
    finally:
        unnamed.unlink(missing_ok=True)
    return f"{len(content['state_dict'])} tensors, the config and the class names in {path}"


def _without_training(checkpoint: dict[str, Any], src: Path) -> dict[str, Any]:
    """What a model is evaluated with: its weights, class names, config, and the values that weights do not show."""
    weights = weights_in(checkpoint, src)
    config = config_of(checkpoint, f"the config in checkpoint {src}")
    if config is not None:
        leave_out_run(config)
    kept = {"config_data": config.to_dict()} if config is not None else {}
    values = {META: checkpoint["meta"][META]} if META in (checkpoint.get("meta") or {}) else {}
    if config is not None and not has_denoising(config):
        drop_training_parts(weights)
    return {"meta": {**class_names(checkpoint), **values, **kept}, "state_dict": weights}
