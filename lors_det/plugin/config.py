"""Configs as the tools use them: read, completed with the classes of the data, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

from lors_det.errors import InputError
from lors_det.plugin.config_keys import check_keys
from lors_det.plugin.config_names import check_options, drop_unread_names
from lors_det.plugin.config_types import check_types
from lors_det.plugin.config_values import check_kinds, check_numbers, complete_workers
from lors_det.plugin.dataset import check_coco, read_json
from lors_det.plugin.packaged import resolve_config_path

SAFE_HOOKS = {
    "num_classes": dict(type="NumClassCheckHook"),
    "plain_checkpoint": dict(type="PlainCheckpointHook"),
    "checkpoint_guard": dict(type="CheckpointGuardHook"),
    "data_guard": dict(type="DataGuardHook"),
    "folding": dict(type="FoldingHook"),
}
"""Hooks of every run; in ``default_hooks`` and not in ``custom_hooks``, a list that a config replaces whole."""


def load_config(path: str | Path, cfg_options: dict[str, Any] | None = None, work_dir: str | None = None) -> Config:
    """Read a config for a Runner.

    ``cfg_options`` override values; ``work_dir`` defaults to ``work_dirs/<path of the config under configs/>``. A model
    whose ``num_classes`` is None gets the classes of the annotation file, and so do all its datasets. The hooks that
    make a run safe are there whatever the config says.

    Raises:
        InputError: if the file does not exist, is not a config, contradicts itself or sets what nothing reads, or its
            data cannot be read.
    """
    cfg = read_config(path, cfg_options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = f"work_dirs/{config_name(Path(cfg.filename))}"
    check_splits(cfg)
    add_safe_hooks(cfg)
    fill_classes(cfg)
    check_evaluators(cfg)
    return cfg


def read_config(path: str | Path, cfg_options: dict[str, Any] | None = None) -> Config:
    """A config as it is written, with overridden values.

    Raises:
        InputError: if the file does not exist, is not a config, or describes no model.
    """
    file = resolve_config_path(path)
    options = cfg_options or {}
    try:
        cfg = Config.fromfile(file)
    except Exception as error:  # whatever the file's code raises
        reason = (str(error).strip() or "it says no more").splitlines()[0]
        raise InputError(f"config {path} cannot be read: {type(error).__name__}: {reason}") from error
    if "model" not in cfg:
        raise InputError(f"config {path} describes no model")
    init_default_scope(cfg.get("default_scope", "mmdet"))  # names in the config are mmdet's from here on
    drop_unread_names(cfg, file)
    check_options(cfg, options)
    check_kinds(cfg, options)
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"--cfg-options do not fit config {path}: {type(error).__name__}: {error}") from error
    check_types(cfg)
    check_keys(cfg)
    check_numbers(cfg)
    complete_workers(cfg)
    return cfg


def config_name(path: Path) -> str:
    """A config's path under ``configs/`` without ".py", such as ablations/shapes/r8; outside of it, the file's stem."""
    *folders, _ = path.resolve().parts
    depth = folders[::-1].index("configs") if "configs" in folders else 0
    return PurePath(*folders[len(folders) - depth :], path.stem).as_posix()


def check_splits(cfg: Config) -> None:
    """Refuse a split of which something is missing: Runner wants all of it, or nothing."""
    parts = {
        "train": ("train_dataloader", "train_cfg", "optim_wrapper"),
        "val": ("val_dataloader", "val_cfg", "val_evaluator"),
        "test": ("test_dataloader", "test_cfg", "test_evaluator"),
    }
    for split, keys in parts.items():
        missing = [key for key in keys if not cfg.get(key)]
        if missing and len(missing) < len(keys):
            there = [key for key in keys if key not in missing]
            raise InputError(
                f"config keys {', '.join(missing)} are not set, and {', '.join(there)} are; "
                f"set all three of {split}, or none of them (None)"
            )


def add_safe_hooks(cfg: Config) -> None:
    """Put the hooks that make a run safe into ``default_hooks``, where a config lacks them."""
    hooks = cfg.setdefault("default_hooks", ConfigDict())
    present = [hook.get("type") for hook in (*hooks.values(), *(cfg.get("custom_hooks") or ())) if hook]
    for name, hook in SAFE_HOOKS.items():
        if hook["type"] not in present:
            while hooks.get(name) is not None:  # a hook of the user's, by chance of that name
                name += "_"
            hooks[name] = ConfigDict(hook)


def fill_classes(cfg: Config) -> None:
    """Give the model and all datasets the classes of the annotation files.

    Read from the smallest file that exists, for COCO's training file takes ten seconds; every dataset then compares
    its own file with them. A model that already names a number of classes must name theirs.

    Raises:
        InputError: if there is no annotation file and the model names no number, or if the numbers differ.
    """
    head = cfg.model.get("bbox_head", {})
    if "num_classes" not in head:
        return
    datasets = list(_datasets(cfg))
    named = next((dataset.metainfo.classes for dataset in datasets if dataset.get("metainfo", {}).get("classes")), None)
    if named is None:
        files = [path for path in map(_annotation_file, datasets) if path.is_file()]
        if not files and head.num_classes is not None:
            return  # nothing to read yet; the datasets will say so if they are used
        if not files:
            paths = ", ".join(dict.fromkeys(str(_annotation_file(dataset)) for dataset in datasets))
            raise InputError(
                f"no annotation file exists to read the classes from: {paths}; check data_root and ann_file"
            )
        smallest = min(files, key=lambda path: path.stat().st_size)
        content = read_json(smallest)
        named = check_coco({"annotations": [], **content} if isinstance(content, dict) else content, smallest)
    if head.num_classes not in (None, len(named)):
        raise InputError(
            f"config key model.bbox_head.num_classes is {head.num_classes}, but the data has {len(named)} classes: "
            f"{', '.join(named)}"
        )
    head.num_classes = len(named)
    for dataset in datasets:
        dataset.metainfo = dict(dataset.get("metainfo", {}), classes=tuple(named))


def check_evaluators(cfg: Config) -> None:
    """Refuse an evaluator that scores against another annotation file than its dataset's: its figures mean nothing.

    Raises:
        InputError: it names both files.
    """
    for split in ("val", "test"):
        if not cfg.get(f"{split}_dataloader"):
            continue
        files = {_annotation_file(dataset).resolve() for dataset in _unwrapped(cfg[f"{split}_dataloader"].dataset)}
        for evaluator in evaluators_of(cfg, split):
            file = evaluator.get("ann_file")
            if file and Path(file).resolve() not in files:
                raise InputError(
                    f"config key {split}_evaluator.ann_file is {file}, but {split}_dataloader evaluates "
                    f"{', '.join(map(str, files))}; set both to the same file"
                )


def evaluators_of(cfg: Config, split: str) -> list[ConfigDict]:
    """The evaluators of "val" or "test": a config names one, or a list of them."""
    evaluators = cfg.get(f"{split}_evaluator") or []
    return list(evaluators) if isinstance(evaluators, (list, tuple)) else [evaluators]


def _datasets(cfg: Config) -> Iterator[ConfigDict]:
    """The datasets of the train, val and test dataloaders."""
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(name):
            yield from _unwrapped(cfg[name].dataset)


def _unwrapped(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The datasets inside wrappers such as RepeatDataset and ConcatDataset."""
    inner = dataset.get("datasets") or ([dataset.dataset] if "dataset" in dataset else [])
    for each in inner:
        yield from _unwrapped(each)
    if not inner:
        yield dataset


def _annotation_file(dataset: ConfigDict) -> Path:
    return Path(dataset.get("data_root") or "", dataset.ann_file)


def build_test_set(cfg: Config) -> BaseDataset:
    """The dataset that the config evaluates."""
    return DATASETS.build(cfg.test_dataloader.dataset)


def augment_test_time(cfg: Config) -> None:
    """Make a config test each image and its mirror image, merged by NMS (mmdet's DetTTAModel).

    The config's own ``tta_model`` and ``tta_pipeline`` are taken where it has them.
    """
    max_per_img = (cfg.model.get("test_cfg") or {}).get("max_per_img") or cfg.model.bbox_head.num_queries
    tta_cfg = dict(nms=dict(type="nms", iou_threshold=0.6), max_per_img=max_per_img)
    tta_model = cfg.get("tta_model") or dict(type="DetTTAModel", tta_cfg=tta_cfg)
    dataset = cfg.test_dataloader.dataset
    pack = dict(dataset.pipeline[-1])
    pack["meta_keys"] = (*pack.get("meta_keys", PackDetInputs().meta_keys), "flip", "flip_direction")
    flips = [dict(type="RandomFlip", prob=1.0), dict(type="RandomFlip", prob=0.0)]
    dataset.pipeline = cfg.get("tta_pipeline") or [
        *dataset.pipeline[:-1],
        dict(type="TestTimeAug", transforms=[flips, [pack]]),
    ]
    cfg.model = ConfigDict(**tta_model, module=cfg.model)
