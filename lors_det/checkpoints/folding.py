"""Checkpoints between shared and dense decoders: folded into plain stages, or factorised out of them."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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
from lors_det.plugin.saving.not_in_weights import FACTORISED, check_values, of_config, of_training
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
    own = _taken_out(weights, src)
    head = cfg.model.bbox_head
    head.decoder.pop("cache_folds", None)  # of version 0.1.0; it changed no result
    _tell_classes(head, own, src)
    try:
        decoder = Decoder(head.num_classes, DecoderSpec(**head.decoder))
        # folding adds up products: half precision is folded in float32, and rounded once at the end
        decoder.to(torch.promote_types(_dtype(own), torch.float32))
        decoder.load_state_dict(own)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"checkpoint {src} is of another model than the config: {error}") from error
    folded = decoder.folded_state()
    if folded.keys() == own.keys():
        raise InputError(f"checkpoint {src} has no residuals and shares no weights: there is nothing to fold")
    weights.update(_as_stored(folded, own, src))
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
        InputError: if the config is of no such model, or of other values than in training, or a weight is not finite.
    """
    checkpoint = load_from_local(str(src), "cpu")
    weights = todays_names(dict(weights_in(checkpoint, src)))
    cfg = model_config(checkpoint, src, config)
    check_values(of_training(checkpoint), of_config(cfg), f"checkpoint {src}", FACTORISED)
    if not has_denoising(cfg):
        drop_training_parts(weights)
    own = _taken_out(weights, src)
    for name, weight in own.items():
        if not weight.isfinite().all():
            raise InputError(
                f"checkpoint {src} holds {DECODER}{name} with values that are not finite, as a diverged training has"
            )
    head = cfg.model.bbox_head
    _tell_classes(head, own, src)
    try:
        spec = DecoderSpec(**head.decoder)
        dense, small = (Decoder(head.num_classes, each).double() for each in (spec.folded(), spec))
        dense.load_state_dict(own)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"checkpoint {src} is not of the config's model with stages of their own: {error}") from error
    if spec.is_plain:
        raise InputError(f"config {config} shares nothing: there is nothing to factorise")
    small.stack.fit(list(dense.stack.stages))
    weights.update(_as_stored(small.state_dict(), own, src))
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


def _taken_out(weights: dict[str, Tensor], src: Path) -> dict[str, Tensor]:
    """The decoder's weights, by their names in it; they are no longer among the others."""
    own = {name.removeprefix(DECODER): weights.pop(name) for name in list(weights) if name.startswith(DECODER)}
    for name, weight in own.items():
        if not weight.is_floating_point():
            raise InputError(f"checkpoint {src} holds {DECODER}{name} in {weight.dtype}; weights are of floating point")
    return own


def _tell_classes(head: Any, own: dict[str, Tensor], src: Path) -> None:
    """The number of classes that a config leaves to the weights."""
    if head.get("num_classes") is None:
        if "stack.stages.0.classify.3.weight" not in own:
            raise InputError(f"checkpoint {src} has no class scores, and the config no model.bbox_head.num_classes")
        head.num_classes = len(own["stack.stages.0.classify.3.weight"])


def _dtype(own: dict[str, Tensor]) -> torch.dtype:
    """The one in which all of them are what they are; float32 where there is none."""
    return reduce(torch.promote_types, {weight.dtype for weight in own.values()}) if own else torch.float32


def _as_stored(made: dict[str, Tensor], own: dict[str, Tensor], src: Path) -> dict[str, Tensor]:
    """New weights of the decoder in the type of those that they are made of, under a checkpoint's names."""
    found = {name: tensor.to(_dtype(own)) for name, tensor in made.items()}
    for name, tensor in found.items():
        if not torch.equal(tensor.isfinite(), made[name].isfinite()):
            raise InputError(f"checkpoint {src}: {DECODER}{name} is too large for {tensor.dtype}; save it in float32")
    return {DECODER + name: tensor for name, tensor in found.items()}
