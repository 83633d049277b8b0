"""A model from its checkpoint alone: the config that training stored in it, the weights and the class names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings
from torch import Tensor, nn

from lors_det.data.words import listed
from lors_det.errors import InputError
from lors_det.plugin.config.data import leaf_datasets
from lors_det.plugin.config.reading import read_config
from lors_det.plugin.saving.first_version import bring_up_to_date
from lors_det.plugin.saving.not_in_weights import check_values, of_config, of_training
from lors_det.plugin.saving.safe_loading import load_from_local
from lors_det.plugin.saving.safe_loading import trust as trust_file
from lors_det.plugin.saving.stored_config import config_of
from lors_det.plugin.saving.stored_types import check_scope, check_stored_types
from lors_det.plugin.saving.training_parts import drop_training_parts
from lors_det.state_diff import state_diff


class StoredModel(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        model: with the weights, on the CPU, in evaluation mode, without gradients.
        cfg: the parts of the config that inference reads.
        classes: names, in the order of the labels.
    """

    model: nn.Module
    cfg: Config
    classes: tuple[str, ...]


def load_stored_model(
    path: str | Path,
    *,
    config: str | Path | Config | None = None,
    names: Sequence[str] | None = None,
    trust: bool = False,
) -> StoredModel:
    """Read a checkpoint, of torch or safetensors, as plain data and build its model; it needs no other file and no net.

    Args:
        path: a checkpoint file.
        config: the model's config, for a checkpoint that carries none.
        names: the classes, for a checkpoint that does not tell them.
        trust: unpickle the file whole, import what the stored config's ``custom_imports`` names, and build types
            that it names.

    Raises:
        InputError: if the file is no checkpoint, carries no config or names and none came, names a type that is not
            registered, has missing, additional or infinite weights, or was trained with other values than the config's
            of what weights do not show.
    """
    if trust:
        trust_file(path)
    checkpoint = load_from_local(str(path), "cpu")
    with faults_of(path, config):
        return _build(checkpoint, path, config, names, trust=trust)


@contextmanager
def faults_of(path: str | Path, config: object) -> Iterator[None]:
    """Inside, what a checkpoint says of its model is built; what goes wrong there is the file's fault, not a bug.

    Raises:
        InputError: in place of what was raised, unless the config is a user's own.
    """
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except Exception as error:  # a stored config can be wrong in as many ways as there are types in it
        if config is not None:
            raise
        raise InputError(
            f"the config in checkpoint {path} builds no model ({type(error).__name__}: {error}); "
            "pass the one of its training: config=, or --config on the command line"
        ) from error


def _build(
    checkpoint: dict[str, Any],
    path: str | Path,
    config: str | Path | Config | None,
    names: Sequence[str] | None,
    *,
    trust: bool,
) -> StoredModel:
    cfg = _config(checkpoint, path, config, trust=trust)
    classes = _classes(checkpoint, cfg, path, names)
    head: Any = cfg.model.get("bbox_head") or {}
    if "decoder" in head:
        head.decoder.pop("cache_folds", None)  # of version 0.1.0; it changed no result
    if head.get("num_classes", 0) is None:
        head.num_classes = len(classes)
    if head.get("num_classes", len(classes)) != len(classes):
        raise InputError(
            f"checkpoint {path}: the model has {head.num_classes} classes, and {len(classes)} names came: "
            f"{listed(classes)}"
        )
    _drop_initialisation(cfg.model)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmdet"):
        model = MODELS.build(cfg.model)
    _fill(model, checkpoint, path)
    check_values(of_training(checkpoint), of_config(cfg), f"checkpoint {path}")
    return StoredModel(model.eval().requires_grad_(False), cfg, classes)


def _config(checkpoint: dict[str, Any], path: str | Path, config: str | Path | Config | None, *, trust: bool) -> Config:
    """The named config, or the checkpoint's own."""
    if isinstance(config, Config):
        whole = config
    elif config is not None:
        whole = read_config(config)
    else:
        whole = _stored_config(checkpoint, path, trust=trust)
    missing = [key for key in ("model", "test_dataloader") if not isinstance(whole.get(key), Mapping)]
    if missing:
        raise InputError(f"the config of checkpoint {path} has no {' and no '.join(missing)}; pass another: config=")
    dataset = next(leaf_datasets(whole.test_dataloader.dataset))  # a set of several has one pipeline
    parts = {key: whole[key] for key in ("model", "tta_model", "tta_pipeline", "default_scope") if whole.get(key)}
    parts["test_dataloader"] = {"dataset": {key: dataset[key] for key in ("pipeline", "metainfo") if key in dataset}}
    if config is None and not trust:
        _check_parts(parts, f"the config in checkpoint {path}")
    return Config(deepcopy(parts))  # a copy: it is changed later, and a config of the user's stays what it is


def _stored_config(checkpoint: dict[str, Any], path: str | Path, *, trust: bool) -> Config:
    cfg = config_of(checkpoint, f"the config in checkpoint {path}")
    if cfg is None:
        raise InputError(
            f"checkpoint {path} carries no config; pass the model's: config=, or --config on the command line"
        )
    if trust:
        import_modules_from_strings(**(cfg.get("custom_imports") or {"imports": []}))
    return cfg


def _check_parts(parts: Mapping[str, Any], where: str) -> None:
    """Refuse what a stranger's config could run."""
    for name, part in parts.items():
        if name == "default_scope":
            check_scope(part, f"{where}: {name}")
        else:
            check_stored_types(part, f"{where}: {name}")


def _classes(checkpoint: dict[str, Any], cfg: Config, path: str | Path, names: Sequence[str] | None) -> tuple[str, ...]:
    """Of the checkpoint; else those that came; else those that the config writes down."""
    meta = checkpoint.get("meta") or {}
    stored = (meta.get("dataset_meta") or {}).get("classes") or meta.get("CLASSES")
    if stored:
        known = (stored,) if isinstance(stored, str) else tuple(stored)
        if names is not None and tuple(names) != known:
            raise InputError(f"checkpoint {path} has the classes {listed(known)}, other than the names that came")
        return known
    if names:
        return tuple(names)
    for dataset in leaf_datasets(cfg.test_dataloader.dataset):
        if (dataset.get("metainfo") or {}).get("classes"):
            return tuple(dataset.metainfo.classes)
    raise InputError(f"checkpoint {path} does not tell its classes; pass them, in the order of training: names=[...]")


def _drop_initialisation(part: Any) -> None:
    """Forget where weights were to come from: all of them are in the checkpoint."""
    if isinstance(part, ConfigDict):
        for key in ("init_cfg", "pretrained"):
            if key in part:
                part[key] = None
        for value in part.values():
            _drop_initialisation(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            _drop_initialisation(value)


def _fill(model: nn.Module, checkpoint: dict[str, Any], path: str | Path) -> None:
    """Put the weights in: every one of the model, no other, all finite."""
    bring_up_to_date(checkpoint, model)
    stored = checkpoint.get("state_dict", checkpoint)
    # of a wrapped model, names begin so
    weights = {re.sub(r"^module\.", "", str(name)): weight for name, weight in stored.items()}
    wrong = next((name for name, weight in weights.items() if not isinstance(weight, Tensor)), None)
    if wrong is not None:
        raise InputError(f"checkpoint {path} holds {wrong!r}, which is no weight; it must hold tensors by name")
    own = model.state_dict()
    drop_training_parts(weights, own)
    diff = state_diff(weights, {name: weight.shape for name, weight in own.items()})
    if diff.words:
        raise InputError(f"checkpoint {path} is of another model than its config ({diff.words})")
    broken = next((name for name, weight in weights.items() if not torch.isfinite(weight).all()), None)
    if broken is not None:
        raise InputError(f"checkpoint {path}: {broken} is not finite, so its training diverged; take an earlier one")
    model.load_state_dict(weights)
