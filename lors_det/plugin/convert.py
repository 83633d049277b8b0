"""Checkpoint files between formats. Nothing is written unless all of it could be converted."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from lors_det.adamixer.convert import UNUSED, from_published, published_model, to_published
from lors_det.adamixer.fold import folded_arguments, folded_state
from lors_det.errors import InputError
from lors_det.plugin.compat import load_from_local
from lors_det.plugin.summary import decoder_of

_DECODER = "bbox_head.decoder."
_UNREAD = "published_unread"
"""Where a converted checkpoint keeps the published table that no model reads."""


def convert_file(src: Path, dst: Path, *, back: bool = False) -> str:
    """Convert a published checkpoint to this project's names, or back; returns what was done, in words.

    Weights and class names are carried over, the state of the training is not. The published table that no model
    reads travels beside the weights, so that the way back restores it.

    Raises:
        InputError: if the file is no plain data, or if its weights are not all those of a model that the conversion
            knows.
    """
    checkpoint = load_from_local(str(src), "cpu")
    weights = _weights(checkpoint, src)
    try:
        converted = to_published(weights, checkpoint.get(_UNREAD)) if back else from_published(weights)
        model = published_model(converted if back else weights)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"checkpoint {src}: {error}") from error
    unread = {_UNREAD: weights[UNUSED]} if UNUSED in weights else {}
    save_whole({"meta": _class_names(checkpoint), "state_dict": converted, **unread}, dst)
    return f"{model}: {len(weights)} tensors {'to' if back else 'from'} published names, {len(converted)} in {dst}"


def fold_file(src: Path, dst: Path, config: Path | None = None) -> str:
    """Fold a LORS checkpoint into a dense, per-stage one, and write the config that runs it beside it.

    Args:
        src: checkpoint of this project.
        dst: checkpoint to write; its config gets the same name with the suffix ``.py``.
        config: config of the model; without it, the one that training wrote into the checkpoint.

    Raises:
        InputError: if there is no config, it is of another model, or the model has nothing to fold.
    """
    checkpoint = load_from_local(str(src), "cpu")
    text = checkpoint.get("meta", {}).get("cfg")
    if config is None and text is None:
        raise InputError(f"checkpoint {src} carries no config; name the model's with --config")
    cfg = Config.fromfile(config) if config is not None else Config.fromstring(text, ".py")
    weights = dict(_weights(checkpoint, src))
    decoder = decoder_of(cfg)
    own = {name.removeprefix(_DECODER): weights.pop(name) for name in list(weights) if name.startswith(_DECODER)}
    try:
        decoder.load_state_dict(own)
    except RuntimeError as error:
        raise InputError(f"checkpoint {src} is of another model than the config: {error}") from error
    folded = folded_state(decoder)
    if folded.keys() == own.keys():
        raise InputError(f"checkpoint {src} has no residuals and shares no weights: there is nothing to fold")
    weights.update({_DECODER + name: tensor for name, tensor in folded.items()})
    arguments = folded_arguments(cfg.model.bbox_head.decoder, len(decoder.stages))
    cfg.model.bbox_head.decoder = arguments
    save_whole({"meta": {**_class_names(checkpoint), "cfg": cfg.pretty_text}, "state_dict": weights}, dst)
    dst.with_suffix(".py").write_text(cfg.pretty_text)
    before, after = (sum(tensor.numel() for tensor in state.values()) for state in (own, folded))
    return f"folded {before:,} decoder parameters into {after:,}: {dst}, config {dst.with_suffix('.py')}"


def save_whole(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint so that the file is whole or not there at all."""
    handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.absolute().parent)
    os.close(handle)
    try:
        torch.save(checkpoint, scratch)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def _weights(checkpoint: dict[str, Any], src: Path) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, or the checkpoint if it is nothing else."""
    weights = checkpoint.get("state_dict", checkpoint)
    if not isinstance(weights, dict) or not all(isinstance(weight, torch.Tensor) for weight in weights.values()):
        raise InputError(f"checkpoint {src} has no state_dict of tensors")
    return weights


def _class_names(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The part of the meta data that says which classes the weights know."""
    meta = checkpoint.get("meta", {})
    classes = meta.get("dataset_meta", {}).get("classes") or meta.get("CLASSES")
    return {"dataset_meta": {"classes": tuple(classes)}} if classes else {}
