"""The kinds of a config's values: what must be a dictionary or a list, and types that a registry knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import PurePath
from typing import Any

import mmdet.registry
import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry

from lors_det.errors import InputError

_DICTIONARIES = (
    *("model", "train_dataloader", "train_dataloader.dataset", "train_cfg", "optim_wrapper", "optim_wrapper.optimizer"),
    *("val_dataloader", "val_dataloader.dataset", "val_cfg", "test_dataloader", "test_dataloader.dataset", "test_cfg"),
    *("auto_scale_lr", "default_hooks", "env_cfg", "randomness", "model.backbone", "model.bbox_head"),
    *("model.bbox_head.decoder", "model.bbox_head.criterion", "model.test_cfg", "model.train_cfg"),
    *("optim_wrapper.paramwise_cfg", "optim_wrapper.paramwise_cfg.custom_keys", "optim_wrapper.clip_grad"),
    *("optim_wrapper.paramwise_cfg.sharing", "log_processor"),
)
_MAY_BE_NONE = (
    *("train_dataloader", "train_cfg", "optim_wrapper", "val_dataloader", "val_cfg", "test_dataloader", "test_cfg"),
    *("auto_scale_lr", "model.bbox_head.criterion", "model.test_cfg", "model.train_cfg"),
    *("optim_wrapper.paramwise_cfg", "optim_wrapper.paramwise_cfg.custom_keys", "optim_wrapper.clip_grad"),
    *("optim_wrapper.paramwise_cfg.sharing", "log_processor"),
)
_TEXTS = (
    *(f"{split}_dataloader.dataset.{key}" for split in ("train", "val", "test") for key in ("ann_file", "data_root")),
    *(f"{split}_evaluator.ann_file" for split in ("val", "test")),
    "optim_wrapper.constructor",
)
_LISTS = ("custom_hooks",)

_TYPED = re.compile(
    r"(.*\.)?(model|backbone|neck|bbox_head|criterion|data_preprocessor|norm_cfg"
    r"|optim_wrapper|optimizer|(train|val|test)_cfg|param_scheduler\.\d+|(val|test)_evaluator(\.\d+)?"
    r"|dataset|datasets\.\d+|sampler|batch_sampler|collate_fn|(pipeline|transforms)(\.\d+)+"
    r"|default_hooks\.\w+|custom_hooks\.\d+|visualizer|vis_backends\.\d+|log_processor|model_wrapper_cfg)"
)
"""Places of dictionaries that are built from a registry, by the ``type`` that they name."""


def check_types(cfg: Config) -> None:
    """Refuse values of another kind than what reads them takes, and types that no registry knows.

    Raises:
        InputError: it names the key and the nearest known type.
    """
    for place in _DICTIONARIES:
        found = _at(cfg._cfg_dict, place)
        fits = isinstance(found, Mapping) or (found is None and place in _MAY_BE_NONE)
        if found is not _ABSENT and not fits:
            raise InputError(f"config key {place} is {found!r}; it must be a dictionary")
    for name, hook in (cfg.get("default_hooks") or {}).items():
        if not isinstance(hook, Mapping | None):
            raise InputError(
                f"config key default_hooks.{name} is {hook!r}; it must be a dictionary, or None for no hook"
            )
    custom = _at(cfg._cfg_dict, "optim_wrapper.paramwise_cfg.custom_keys")
    for name, value in custom.items() if isinstance(custom, Mapping) else ():
        if not isinstance(value, Mapping):
            raise InputError(
                f"config key optim_wrapper.paramwise_cfg.custom_keys.{name} is {value!r}; it must be a dictionary, "
                "such as dict(lr_mult=0.1)"
            )
    for split in ("val", "test"):
        given = cfg.get(f"{split}_evaluator")
        if not all(
            isinstance(each, Mapping) for each in (given if isinstance(given, (list, tuple)) else [given or {}])
        ):
            raise InputError(f"config key {split}_evaluator is {given!r}; it must be a dictionary, or a list of them")
    for place in _TEXTS:
        found = _at(cfg._cfg_dict, place)
        if found is not _ABSENT and not isinstance(found, str | PurePath | None):
            raise InputError(f"config key {place} is {found!r}; it must be a text")
    for place in _LISTS:
        if not isinstance(cfg.get(place) or [], (list, tuple)):
            raise InputError(f"config key {place} is {cfg[place]!r}; it must be a list")
    _check_trackers(cfg.get("visualizer"))
    level = cfg.get("log_level", "INFO")
    if level not in _LEVELS:
        raise InputError(f"config key log_level is {level!r}; choose from {', '.join(_LEVELS)}")
    for path, value in _dictionaries(cfg._cfg_dict, ""):
        kind = value.get("type")
        if isinstance(kind, str) and _TYPED.fullmatch(path) and not registered(kind):
            near = get_close_matches(kind, {name for registry in registries() for name in registry.module_dict}, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; custom_imports names the modules that register others"
            raise InputError(f"config key {path}.type is {kind!r}, which no registry knows{hint}")


def _check_trackers(visualizer: Any) -> None:
    """Refuse a visualizer, or one of its backends, that is no dictionary: text came from a command line."""
    if visualizer is not None and not isinstance(visualizer, Mapping):
        raise InputError(f"config key visualizer is {visualizer!r}; it must be a dictionary")
    backends = (visualizer or {}).get("vis_backends")
    if backends is not None and not isinstance(backends, (list, tuple)):
        raise InputError(f"config key visualizer.vis_backends is {backends!r}; it must be a list of dictionaries")
    for number, backend in enumerate(backends or ()):
        if not isinstance(backend, Mapping) or "type" not in backend:
            raise InputError(
                f"config key visualizer.vis_backends.{number} is {backend!r}; it must be a dictionary with a "
                "type, which a config file can hold and --cfg-options cannot: "
                'visualizer = dict(vis_backends=[dict(type="LocalVisBackend")])'
            )


_ABSENT = object()
_LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")


def _at(value: Any, place: str) -> Any:
    for key in place.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return _ABSENT
        value = value[key]
    return value


def _dictionaries(value: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every dictionary of a config, with its place."""
    if isinstance(value, Mapping):
        if path:
            yield path, value
        for key, item in value.items():
            yield from _dictionaries(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _dictionaries(item, f"{path}.{number}")


def registered(kind: str) -> list[Any]:
    """What registries have under a name, with or without a scope before it."""
    name = kind.rpartition(".")[2]
    return [registry.module_dict[name] for registry in registries() if name in registry.module_dict]


@cache
def registries() -> tuple[Registry, ...]:
    """Those of mmengine and mmdet, with all that they register."""
    found = [
        registry
        for module in (mmengine.registry, mmdet.registry)
        for registry in vars(module).values()
        if isinstance(registry, Registry)
    ]
    for registry in found:
        registry.import_from_location()
    return tuple(found)
