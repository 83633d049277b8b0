"""Checkpoint files between formats. Nothing is written unless all of it could be converted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from lors_det.adamixer import Decoder, DecoderSpec
from lors_det.adamixer.first_version import current_name, is_first_version
from lors_det.adamixer.spec import ADAMIXER, LORS
from lors_det.checkpoints.around_decoder import check_around_decoder
from lors_det.checkpoints.published_names import UNUSED, from_published, published_model, to_published
from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.plugin.config.reading import read_config
from lors_det.plugin.saving.not_in_weights import META, PUBLISHED, check_values, differences, of_config, of_training
from lors_det.plugin.saving.safe_loading import load_from_local
from lors_det.plugin.saving.stored_config import config_of
from lors_det.plugin.saving.training_parts import drop_training_parts
from lors_det.plugin.saving.weights_file import is_weights_file, write_weights

_DECODER = "bbox_head.decoder."
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
    weights = _weights(checkpoint, src)
    unread = checkpoint.get(_UNREAD)
    if not back and any(name.startswith(_DECODER) for name in weights):
        if is_weights_file(src) != is_weights_file(dst):
            config = config_of(checkpoint, f"the config in checkpoint {src}")
            kept = {"config_data": config.to_dict()} if config is not None else {}
            values = {META: checkpoint["meta"][META]} if META in (checkpoint.get("meta") or {}) else {}
            if config is not None and not _has_denoising(config):
                drop_training_parts(weights)
            _save({"meta": {**_class_names(checkpoint), **values, **kept}, "state_dict": weights}, dst)
            return f"{len(weights)} tensors{', and the config,' if kept else ''} in {dst}"
        raise InputError(
            f"checkpoint {src} has this project's names already; --to-published converts it back, and a name that "
            "ends in .safetensors makes such a file of it"
        )
    try:
        if back:
            weights = todays_names(dict(weights))
            drop_training_parts(weights)
            if words := differences(of_training(checkpoint), PUBLISHED):
                raise InputError(f"checkpoint {src} is of no published model; of those {'; '.join(words)}")
            converted = to_published(weights, unread if isinstance(unread, Tensor) else None)
            backbone = check_around_decoder(weights)
            model = published_model(converted)
        else:
            converted = from_published(weights)
            backbone = check_around_decoder(converted)
            model = published_model(weights)
    except InputError:
        raise
    except (ValueError, RuntimeError) as error:
        raise InputError(f"checkpoint {src}: {error}") from error
    kept = {_UNREAD: weights[UNUSED]} if UNUSED in weights else {}
    values = {} if back else {META: dict(PUBLISHED)}
    _save({"meta": {**_class_names(checkpoint), **values}, "state_dict": converted, **kept}, dst)
    direction = "to" if back else "from"
    return f"{model}, {backbone}: {len(weights)} tensors {direction} published names, {len(converted)} in {dst}"


def fold_file(src: Path, dst: Path, config: Path | None = None) -> str:
    """Fold a LORS checkpoint into a dense, per-stage one, and write the config that runs it beside it.

    Args:
        src: checkpoint of this project.
        dst: checkpoint to write; its config gets the same name with the suffix ``.py``.
        config: config of the model; without it, the one that training wrote into the checkpoint, read as data.

    Raises:
        InputError: if there is no config, it is of another model or of other values than in training, the model has
            nothing to fold, or the config to write exists.
    """
    dst_config = dst.with_suffix(".py")
    if dst == dst_config:
        raise InputError(f"{dst}: the suffix .py is the folded model's config's; name the checkpoint .pth")
    if dst_config.exists():
        raise InputError(f"{dst_config} exists, and the folded model's config would overwrite it; name another file")
    checkpoint = load_from_local(str(src), "cpu")
    weights = dict(_weights(checkpoint, src))
    cfg = _config_of(checkpoint, src, config)
    check_values(of_training(checkpoint), of_config(cfg), f"checkpoint {src}")
    weights = todays_names(weights)
    if not _has_denoising(cfg):
        drop_training_parts(weights)
    own = {name.removeprefix(_DECODER): weights.pop(name) for name in list(weights) if name.startswith(_DECODER)}
    head = cfg.model.bbox_head
    head.decoder.pop("cache_folds", None)  # of version 0.1.0; it changed no result
    if head.get("num_classes") is None and "stack.stages.0.classify.3.weight" in own:
        head.num_classes = len(own["stack.stages.0.classify.3.weight"])
    try:
        decoder = Decoder(head.num_classes, DecoderSpec(**head.decoder))
        # folding adds up products: half precision is folded in float32, and rounded once at the end
        decoder.to(torch.promote_types(next(iter(own.values())).dtype, torch.float32) if own else torch.float32)
        decoder.load_state_dict(own)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"checkpoint {src} is of another model than the config: {error}") from error
    folded = decoder.folded_state()
    if folded.keys() == own.keys():
        raise InputError(f"checkpoint {src} has no residuals and shares no weights: there is nothing to fold")
    dtype = next(iter(own.values())).dtype
    weights.update({_DECODER + name: tensor.to(dtype) for name, tensor in folded.items()})
    head.decoder = decoder.spec.folded().arguments()
    write_whole(dst_config, lambda file: file.write(cfg.pretty_text.encode()))
    try:
        _save({"meta": {**_class_names(checkpoint), "config_data": cfg.to_dict()}, "state_dict": weights}, dst)
    except BaseException:
        dst_config.unlink()
        raise
    before, after = (sum(tensor.numel() for tensor in state.values()) for state in (own, folded))
    return f"folded {before:,} decoder parameters into {after:,}: {dst}, config {dst_config}"


def factorise_file(src: Path, dst: Path, config: Path) -> str:
    """Make a LORS checkpoint of a dense one, such as AdaMixer's: a start for a LORS model, or a smaller model at once.

    Bases become the mean of their stages' weights, residuals the nearest to what is left that their ranks allow, see
    :meth:`lors_det.lors.SharedStack.fit`.

    Args:
        src: checkpoint of this project whose stages own all of their weights.
        dst: checkpoint to write.
        config: of the LORS model, of the same shape.

    Returns:
        What was done, in words, with the share of the corrections that the residuals hold.

    Raises:
        InputError: if the config is of no such model, or of other values than in training.
    """
    checkpoint = load_from_local(str(src), "cpu")
    weights = todays_names(dict(_weights(checkpoint, src)))
    cfg = _config_of(checkpoint, src, config)
    changed = ("bbox_head.decoder.share", "bbox_head.decoder.residual_scale")  # as a factorisation is meant to
    check_values(of_training(checkpoint), of_config(cfg), f"checkpoint {src}", changed)
    if not _has_denoising(cfg):
        drop_training_parts(weights)
    own = {name.removeprefix(_DECODER): weights.pop(name) for name in list(weights) if name.startswith(_DECODER)}
    head = cfg.model.bbox_head
    if head.get("num_classes") is None and "stack.stages.0.classify.3.weight" in own:
        head.num_classes = len(own["stack.stages.0.classify.3.weight"])
    try:
        spec = DecoderSpec(**head.decoder)
        dense, small = (Decoder(head.num_classes, each).double() for each in (spec.folded(), spec))
        dense.load_state_dict(own)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"checkpoint {src} is not of the config's model with stages of their own: {error}") from error
    if spec.is_plain:
        raise InputError(f"config {config} shares nothing: there is nothing to factorise")
    small.stack.fit(list(dense.stack.stages))
    dtype = next(iter(own.values())).dtype
    weights.update({_DECODER + name: tensor.to(dtype) for name, tensor in small.state_dict().items()})
    _save({"meta": {**_class_names(checkpoint), "config_data": cfg.to_dict()}, "state_dict": weights}, dst)
    before, after = (sum(tensor.numel() for tensor in decoder.state_dict().values()) for decoder in (dense, small))
    lost = sum(
        (folded - dense.state_dict()[name]).square().sum().item() for name, folded in small.folded_state().items()
    )
    whole = sum(tensor.square().sum().item() for tensor in dense.state_dict().values())
    return (
        f"factorised {before:,} decoder parameters into {after:,}: {dst}; the weights are off by "
        f"{(lost / whole) ** 0.5:.1%} of their norm"
    )


def todays_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights, those of a decoder that version 0.1.0 named under today's names."""
    own = [name.removeprefix(_DECODER) for name in weights if name.startswith(_DECODER)]
    if not is_first_version(own):
        return weights
    # whether stages share is all that the names depend on: then there are residuals, or fewer bases than stages
    bases, stages = ({name.split(".")[1] for name in own if name.startswith(kind)} for kind in ("bases.", "stages."))
    corrected = any(re.fullmatch(r"stages\.\d+\..+\.(left|up)", name) for name in own)
    spec = replace(ADAMIXER, share=range(len(stages))) if len(bases) == len(stages) and not corrected else LORS
    return {
        _DECODER + current_name(name.removeprefix(_DECODER), spec) if name.startswith(_DECODER) else name: weight
        for name, weight in weights.items()
    }


def _config_of(checkpoint: dict[str, Any], src: Path, config: Path | None) -> Config:
    """The named config, or the checkpoint's own; of a model with this project's head."""
    if config is not None:
        cfg, where = read_config(config), f"config {config}"
    else:
        where = f"the config in checkpoint {src}"
        stored = config_of(checkpoint, where)
        if stored is None:
            raise InputError(f"checkpoint {src} carries no config; name the model's with --config")
        cfg = stored
    head = (cfg.get("model") or {}).get("bbox_head") or {}
    if not isinstance(head.get("decoder"), dict):
        raise InputError(f"{where} is not of a model of this project: it lacks model.bbox_head.decoder")
    return cfg


def _has_denoising(cfg: Config) -> bool:
    """Whether the model has queries that serve its training alone."""
    return bool(((cfg.get("model") or {}).get("bbox_head") or {}).get("denoising"))


def _save(checkpoint: dict[str, Any], path: Path) -> None:
    if is_weights_file(path):
        write_weights(path, checkpoint)
    else:
        write_whole(path, lambda file: torch.save(checkpoint, file))


def _weights(checkpoint: dict[str, Any], src: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint, or the checkpoint if it is nothing else."""
    weights = checkpoint.get("state_dict", checkpoint)
    if not isinstance(weights, dict) or not weights:
        raise InputError(f"checkpoint {src} has no state_dict")
    for name, weight in weights.items():
        counter = str(name).endswith("num_batches_tracked")
        if not isinstance(name, str) or not isinstance(weight, Tensor) or not (counter or weight.numel()):
            raise InputError(f"checkpoint {src} holds {name!r}, which is no weight; it must hold tensors by name")
        if not counter and weight.ndim == 0:
            raise InputError(f"checkpoint {src} holds {name!r} without a dimension, which no model has")
        if name.startswith("module."):
            raise InputError(
                f"checkpoint {src} was saved from a wrapped model: its keys begin with 'module.', as {name} does; "
                "save model.module.state_dict(), or strip the prefix"
            )
    return weights


def _class_names(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The part of the meta data that says which classes the weights know."""
    meta = checkpoint.get("meta") or {}
    classes = (meta.get("dataset_meta") or {}).get("classes") or meta.get("CLASSES")
    if not classes:
        return {}
    return {"dataset_meta": {"classes": (classes,) if isinstance(classes, str) else tuple(classes)}}
