"""What a checkpoint file holds, taken apart and put together: weights, class names, config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from lors_det.adamixer.first_version import current_name, is_first_version
from lors_det.adamixer.published import ADAMIXER, LORS
from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.plugin.config.reading import read_config
from lors_det.plugin.saving.stored_config import config_of
from lors_det.plugin.saving.weights_file import is_weights_file, write_weights

DECODER = "bbox_head.decoder."


def weights_in(checkpoint: dict[str, Any], src: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint, or the checkpoint if it is nothing else.

    Raises:
        InputError: if it has none, or holds what is no weight of a model that was saved by itself.
    """
    weights = checkpoint.get("state_dict", checkpoint)
    if not isinstance(weights, dict) or not weights:
        raise InputError(f"checkpoint {src} has no state_dict")
    for name, weight in weights.items():
        counter = str(name).endswith("num_batches_tracked")
        if not isinstance(name, str) or not isinstance(weight, Tensor) or not (counter or weight.numel()):
            raise InputError(f"checkpoint {src} holds {name!r}, which is no weight; it must hold tensors by name")
        if weight.layout is not torch.strided or weight.is_meta:
            kind = "no values" if weight.is_meta else "sparse values"
            raise InputError(f"checkpoint {src} holds {name!r} with {kind}; save dense tensors, on the CPU")
        if not counter and weight.ndim == 0:
            raise InputError(f"checkpoint {src} holds {name!r} without a dimension, which no model has")
        if name.startswith("module."):
            raise InputError(
                f"checkpoint {src} was saved from a wrapped model: its keys begin with 'module.', as {name} does; "
                "save model.module.state_dict(), or strip the prefix"
            )
    return weights


def class_names(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The part of the meta data that says which classes the weights know."""
    meta = checkpoint.get("meta") or {}
    classes = (meta.get("dataset_meta") or {}).get("classes") or meta.get("CLASSES")
    if not classes:
        return {}
    return {"dataset_meta": {"classes": (classes,) if isinstance(classes, str) else tuple(classes)}}


def todays_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights, those of a decoder that version 0.1.0 named under today's names."""
    own = [name.removeprefix(DECODER) for name in weights if name.startswith(DECODER)]
    if not is_first_version(own):
        return weights
    # whether stages share is all that the names depend on: then there are residuals, or fewer bases than stages
    bases, stages = ({name.split(".")[1] for name in own if name.startswith(kind)} for kind in ("bases.", "stages."))
    corrected = any(re.fullmatch(r"stages\.\d+\..+\.(left|up)", name) for name in own)
    spec = replace(ADAMIXER, share=range(len(stages))) if len(bases) == len(stages) and not corrected else LORS
    return {
        DECODER + current_name(name.removeprefix(DECODER), spec) if name.startswith(DECODER) else name: weight
        for name, weight in weights.items()
    }


def model_config(checkpoint: dict[str, Any], src: Path, config: Path | None) -> Config:
    """The named config, or the checkpoint's own; of a model with this project's head.

    Raises:
        InputError: if there is none, or it is of another model.
    """
    if config is not None:
        cfg, where = read_config(config), f"config {config}"
    else:
        where = f"the config in checkpoint {src}"
        stored = config_of(checkpoint, where)
        if stored is None:
            raise InputError(f"checkpoint {src} carries no config; name the model's with --config")
        cfg = stored
    if not isinstance(_head(cfg).get("decoder"), dict):
        raise InputError(f"{where} is not of a model of this project: it lacks model.bbox_head.decoder")
    leave_out_run(cfg)
    return cfg


def leave_out_run(cfg: Config) -> None:
    """Forget what a config tells of its run alone: a model that is made of a run's would write into its folder."""
    for key in ("work_dir", "load_from", "resume"):
        cfg.pop(key, None)


def has_denoising(cfg: Config) -> bool:
    """Whether the model has queries that serve its training alone."""
    return bool(_head(cfg).get("denoising"))


def _head(cfg: Config) -> Mapping[str, Any]:
    """What a config says of the head; nothing where it is none of a detector."""
    model = cfg.get("model")
    head = model.get("bbox_head") if isinstance(model, Mapping) else None
    return head if isinstance(head, Mapping) else {}


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Write it whole or not at all, in the format that the name ends in."""
    if is_weights_file(path):
        write_weights(path, checkpoint)
    else:
        write_whole(path, lambda file: torch.save(checkpoint, file))
