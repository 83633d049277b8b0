"""Checkpoints between shared and dense decoders: folded into plain stages, or factorised out of them."""

from __future__ import annotations

from pathlib import Path

import torch

from lors_det.adamixer import Decoder, DecoderSpec
from lors_det.checkpoints.contents import (
    DECODER,
    class_names,
    has_denoising,
    model_config,
    save,
    todays_names,
    weights_in,
)
from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.plugin.saving.not_in_weights import check_values, of_config, of_training
from lors_det.plugin.saving.safe_loading import load_from_local
from lors_det.plugin.saving.training_parts import drop_training_parts


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
    weights = dict(weights_in(checkpoint, src))
    cfg = model_config(checkpoint, src, config)
    check_values(of_training(checkpoint), of_config(cfg), f"checkpoint {src}")
    weights = todays_names(weights)
    if not has_denoising(cfg):
        drop_training_parts(weights)
    own = {name.removeprefix(DECODER): weights.pop(name) for name in list(weights) if name.startswith(DECODER)}
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
    weights.update({DECODER + name: tensor.to(dtype) for name, tensor in folded.items()})
    head.decoder = decoder.spec.folded().arguments()
    write_whole(dst_config, lambda file: file.write(cfg.pretty_text.encode()))
    try:
        save({"meta": {**class_names(checkpoint), "config_data": cfg.to_dict()}, "state_dict": weights}, dst)
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
    weights = todays_names(dict(weights_in(checkpoint, src)))
    cfg = model_config(checkpoint, src, config)
    changed = ("bbox_head.decoder.share", "bbox_head.decoder.residual_scale")  # as a factorisation is meant to
    check_values(of_training(checkpoint), of_config(cfg), f"checkpoint {src}", changed)
    if not has_denoising(cfg):
        drop_training_parts(weights)
    own = {name.removeprefix(DECODER): weights.pop(name) for name in list(weights) if name.startswith(DECODER)}
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
    weights.update({DECODER + name: tensor.to(dtype) for name, tensor in small.state_dict().items()})
    save({"meta": {**class_names(checkpoint), "config_data": cfg.to_dict()}, "state_dict": weights}, dst)
    before, after = (sum(tensor.numel() for tensor in decoder.state_dict().values()) for decoder in (dense, small))
    lost = sum(
        (folded - dense.state_dict()[name]).square().sum().item() for name, folded in small.folded_state().items()
    )
    whole = sum(tensor.square().sum().item() for tensor in dense.state_dict().values())
    return (
        f"factorised {before:,} decoder parameters into {after:,}: {dst}; the weights are off by "
        f"{(lost / whole) ** 0.5:.1%} of their norm"
    )
