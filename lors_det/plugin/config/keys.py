"""Keys of a config that nothing reads: refused, with the nearest that something does.

mmengine keeps every name that a config or ``--cfg-options`` sets; one that is misspelled changes nothing in silence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner, TestLoop, ValLoop
from torch import nn
from torch.distributed import init_process_group
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from lors_det.adamixer import DecoderSpec
from lors_det.adamixer.denoising import Denoising
from lors_det.errors import InputError
from lors_det.plugin.config.kinds import registered
from lors_det.plugin.config.names import nearest
from lors_det.plugin.criterion import set_criterion

_TAKEN_BY_BUILDER = {
    *("type", "_scope_"),
    "priority",  # of hooks
    "by_epoch",  # of loops
    "convert_to_iter_based",  # of schedules
    *("init_cfg", "requires_grad", "fallback_on_stride", "deformable_groups"),  # of models, norms and convolutions
    *("constructor", "paramwise_cfg"),  # of optimiser wrappers
    *("bg_cls_weight", "scale_factor"),  # of losses and of upsampling, by heads of mmdet
}
"""Keys that what builds an object takes for itself before it calls the class."""

_DATALOADER = {
    *inspect.signature(DataLoader).parameters,
    *("disable_subprocess_warning", "num_batch_per_epoch"),
}
_PLAIN_CONSTRUCTORS: dict[str, frozenset[str]] = {
    "DefaultOptimWrapperConstructor": frozenset(),
    "MergedOptimWrapperConstructor": frozenset({"layer_decay", "sharing"}),
}
"""Constructors of optimiser wrappers that read mmengine's ``paramwise_cfg``, and what else they read in it."""

_PARAMWISE = {
    *("custom_keys", "bias_lr_mult", "bias_decay_mult", "norm_decay_mult", "dwconv_decay_mult", "flat_decay_mult"),
    *("dcn_offset_lr_mult", "bypass_duplicate"),
}
_PASS_ON_KEYWORDS = ("lors_det", "mmcv", "mmdet", "mmengine", "torch", "torchvision")
"""Libraries whose classes take no other keywords than their bases."""

_PASSED_ON = {CheckpointHook: Runner.save_checkpoint}
"""Classes whose ``**kwargs`` go to a function that takes no others."""

_FIXED = {
    "auto_scale_lr": {"enable", "base_batch_size"},
    "randomness": set(inspect.signature(Runner.set_randomness).parameters),
    "custom_imports": {"imports", "allow_failed_imports"},
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
    "env_cfg.dist_cfg": {*inspect.signature(init_process_group).parameters, "init_backend", "port"},
    "env_cfg.mp_cfg": {"mp_start_method", "opencv_num_threads"},
    "optim_wrapper.clip_grad": {*inspect.signature(clip_grad_norm_).parameters, "type", "clip_value"},
}
"""Keys of dictionaries that functions read, by their place."""


_OF_DATASETS = {
    "filter_cfg": {"filter_empty_gt", "min_size"},
    "data_prefix": {"img", "img_path", "seg", "seg_map_path"},
    "metainfo": {"classes", "palette"},
}
"""Keys of dictionaries that sets in COCO's format read."""


class Reader:
    """What reads a dictionary of the config: its name, and the keys that it takes (None: any)."""

    def __init__(self, name: str, keys: set[str] | None) -> None:
        self.name = name
        self.keys = keys

    @classmethod
    def of(cls, target: Callable[..., Any], more: set[str] | frozenset[str] = frozenset()) -> Reader:
        keys = taken_by(target)
        return cls(target.__name__, None if keys is None else keys | more)


def taken_by(target: Callable[..., Any]) -> set[str] | None:
    """Names of a callable's arguments; None: it takes any.

    A class with ``**kwargs`` passes them to one of its bases, and takes what any of those takes, where it is of a
    library that does so; what a user's own does with them is not known.
    """
    passing = next((base for base in getattr(target, "__mro__", (target,)) if base in _PASSED_ON), None)
    if passing is not None:
        signatures = [inspect.signature(kind).parameters.values() for kind in (target, passing)]
        open_kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        own = {p.name for parameters in signatures for p in parameters if p.kind not in open_kinds}
        return own | (taken_by(_PASSED_ON[passing]) or set())
    if not inspect.isclass(target):
        kinds = [target]
    else:
        ends = (object, nn.Module)  # the latter's **kwargs take nothing
        mro: tuple[Any, ...] = target.__mro__
        kinds = [kind.__init__ for kind in mro if "__init__" in vars(kind) and kind not in ends]
    keys: set[str] = set()
    open_ended = False
    for number, kind in enumerate(kinds):
        try:
            parameters = inspect.signature(kind).parameters.values()
        except (TypeError, ValueError):  # written in C
            return None
        keys |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {"self"}
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if not number and not open_ended:
            return keys
        if not number and target.__module__.partition(".")[0] not in _PASS_ON_KEYWORDS:
            return None
    return None if open_ended else keys


def check_keys(cfg: Config) -> None:
    """Refuse keys below the top level that their reader does not take.

    A dictionary with a ``type`` is read by that class, wherever it stands; those without one that Runner and this
    project's head read are known by their place. See :func:`taken_by` for what a class takes.

    Raises:
        InputError: it names the key, its reader and the nearest real key.
    """
    for path, key, reader in _unread(cfg._cfg_dict, "", _places(cfg)):
        where = f"{path}.{key}" if path else key
        raise InputError(
            f"config key {where} is read by nothing: {reader.name} does not take it{nearest(cfg, where, reader.keys)}"
        )
    for name, hook in (cfg.get("default_hooks") or {}).items():
        if isinstance(hook, Mapping) and "type" not in hook:
            known = [known for known in cfg.default_hooks if known != name]
            where = f"default_hooks.{name}"
            raise InputError(f"config key {where} is of no known hook, and names no type{nearest(cfg, where, known)}")


def _unread(value: Any, path: str, places: Mapping[str, Reader]) -> Iterator[tuple[str, str, Reader]]:
    """(path, key, reader) of each key that is not read."""
    if isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _unread(item, f"{path}.{number}", places)
    if not isinstance(value, Mapping):
        return
    reader = places.get(path) or _reader_of_type(value.get("type"))
    if reader.keys is not None:
        yield from ((path, key, reader) for key in value if key not in reader.keys)
    inner = _OF_DATASETS if reader.name in ("CocoDetection", "CocoDataset") else {}
    here = {f"{path}.{key}": Reader(f"{reader.name}.{key}", keys) for key, keys in inner.items()}
    for key, item in value.items():
        yield from _unread(item, f"{path}.{key}" if path else key, {**places, **here})


def _places(cfg: Config) -> dict[str, Reader]:
    """Readers of the dictionaries that are known by their place and not by a ``type``."""
    by_epoch = (cfg.get("train_cfg") or {}).get("by_epoch", True)
    loops = {
        "train_cfg": EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop,
        "val_cfg": ValLoop,
        "test_cfg": TestLoop,
    }
    untyped = {"optim_wrapper": OptimWrapper, "log_processor": LogProcessor, **loops}
    places = {
        place: Reader.of(reader, _TAKEN_BY_BUILDER)
        for place, reader in untyped.items()
        if "type" not in (cfg.get(place) or {"type": None})
    }
    places |= {f"{split}_dataloader": Reader("a dataloader", _DATALOADER) for split in ("train", "val", "test")}
    places |= {place: Reader(place, keys) for place, keys in _FIXED.items()}
    optim_wrapper = cfg.get("optim_wrapper") or {}
    constructor = optim_wrapper.get("constructor", "DefaultOptimWrapperConstructor")
    if constructor in _PLAIN_CONSTRUCTORS:
        places["optim_wrapper.paramwise_cfg"] = Reader("paramwise_cfg", _PARAMWISE | _PLAIN_CONSTRUCTORS[constructor])
        custom = (optim_wrapper.get("paramwise_cfg") or {}).get("custom_keys") or {}
        # a name in custom_keys may hold dots, as that of a part of the model does
        places |= {
            f"optim_wrapper.paramwise_cfg.custom_keys.{name}": Reader("custom_keys", {"lr_mult", "decay_mult"})
            for name in custom
        }
    head = (cfg.get("model") or {}).get("bbox_head", {})
    if head.get("type") == "AdaMixerHead":
        if (head.get("criterion") or {}).get("type", "SetCriterion") == "SetCriterion":
            places["model.bbox_head.criterion"] = Reader.of(set_criterion, {"type"})
        places["model.bbox_head.denoising"] = Reader.of(Denoising, set())
        places |= {place: Reader("AdaMixerHead", set()) for place in ("model.train_cfg", "model.bbox_head.train_cfg")}
        places["model.bbox_head.decoder"] = Reader("the decoder", taken_by(DecoderSpec))
    return places


def _reader_of_type(kind: Any) -> Reader:
    """The class of that ``type``; what any of the classes takes that registries have under one name."""
    if callable(kind):
        return Reader.of(kind, _TAKEN_BY_BUILDER)
    readers = [Reader.of(each, _TAKEN_BY_BUILDER) for each in registered(kind)] if isinstance(kind, str) else []
    if not readers or any(reader.keys is None for reader in readers):
        return Reader(str(kind), None)
    return Reader(readers[0].name, set().union(*(reader.keys or () for reader in readers)))
