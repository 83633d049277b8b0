"""Values that a config leaves to the data: whatever is None is chosen from the training set's size and said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from lors_det.data.words import counted
from lors_det.errors import InputError
from lors_det.plugin.config.data import annotation_file, leaf_datasets
from lors_det.plugin.config.schedules import schedules_of
from lors_det.plugin.config.size_rules import SIDE_STEP_PX, batch_size, epochs, first_fall, image_side
from lors_det.plugin.dataset import check_coco, read_json

_SIZES = ("scale", "img_scale", "crop_size")
"""Arguments of transforms that are (width, height), or the same both ways."""


def choose(cfg: Config, side: int | None = None, *, before: Config | None = None, processes: int = 1) -> list[str]:
    """Fill in what a config leaves None: image side, batch size, epochs, when the rate falls, how often to validate.

    ======================================  ============================================================================
    sizes in pipelines                      side such that nine of ten boxes reach ``SMALL_BOX_PX``, at most the images'
                                            own median long side; then within ``SIDE_LIMITS_PX``
    ``train_dataloader.batch_size``         4 below 2 000 images, 8 below 20 000, else 16
    ``train_cfg.max_epochs``                ``EPOCHS``, above ``NUM_IMAGES`` n of them EPOCHS (NUM_IMAGES / n)^(1/4); of
                                            small sets as many as make ``MIN_STEPS``; within ``EPOCHS_LIMITS``
    ``param_scheduler.*.begin``             of schedules by epoch: a third of the epochs
    ``train_cfg.val_interval``              a tenth of the epochs
    ======================================  ============================================================================

    Validation and test loaders without a batch size take that of training. Where there is neither a training set nor a
    former run, all stay None, see :func:`check_chosen`. The constants and the rules are those of
    :mod:`lors_det.plugin.config.size_rules`.

    Args:
        cfg: changed in place.
        side: pixels, in place of the chosen side.
        before: the config of a run that is resumed, whose values are kept where it has them.
        processes: that train together, each with its part of a chosen batch, of one image at least.

    Returns:
        What was chosen and from what, in words.

    Raises:
        InputError: if a side is given that is none, or the config sets its own.
    """
    loop: ConfigDict = cfg.get("train_cfg") or ConfigDict()
    loader: ConfigDict = cfg.get("train_dataloader") or ConfigDict()
    loaders = loaders_of(cfg)
    sizes = list(open_sizes([each.dataset for each in loaders], cfg.get("custom_hooks")))
    if side is not None and (isinstance(side, bool) or side < SIDE_STEP_PX):
        raise InputError(f"the image side is {side}; it must be at least {SIDE_STEP_PX} pixels")
    if side is not None and not sizes:
        raise InputError(f"config {cfg.filename} sets its image sizes itself; change them in its pipelines")
    said = _keep(loader, loop, before) if before else []
    if sizes and side is None and before and _side_of(before):
        side = _side_of(before)
        said.append(f"images of {side} pixels, as before")
    content = _training_set(cfg) if any(not key.startswith("param_scheduler") for key in _open_keys(cfg)) else None
    if sizes and side is None and content is not None:
        side, why = image_side(content)
        said.append(f"images of {side} pixels: {why}")
    for transform, key in sizes if side is not None else ():
        transform[key] = (side, side)
    num_images = len(content["images"]) if content is not None else 0
    if num_images and loader.get("batch_size", 1) is None:
        loader.batch_size = max(1, batch_size(num_images) // processes)
        on_each = f" on each of {processes} processes" if processes > 1 else ""
        said.append(f"batches of {loader.batch_size}{on_each}: {num_images} images")
    for each in loaders:
        each.batch_size = each.get("batch_size", 1) or loader.get("batch_size")
    if num_images and loop.get("max_epochs", 0) is None:
        of_update = (cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1)
        loop.max_epochs = epochs(num_images, loader.batch_size * processes * of_update)
        said.append(f"{loop.max_epochs} epochs: {num_images} images")
    if loop.get("max_epochs"):
        said += _choose_falls(cfg, loop.max_epochs, before)
    if loop.get("max_epochs") and loop.get("val_interval", 0) is None:
        loop.val_interval = max(1, loop.max_epochs // 10)
    return said


def _keep(loader: ConfigDict, loop: ConfigDict, before: Config) -> list[str]:
    """Fill in batch size, epochs and interval from the config of a former run; what was kept, in words."""
    said = []
    for part, key, words in (
        (loader, "batch_size", "batches of {}"),
        (loop, "max_epochs", "{} epochs"),
        (loop, "val_interval", "epochs from one validation to the next: {}"),
    ):
        place = "train_dataloader" if part is loader else "train_cfg"
        value = (before.get(place) or {}).get(key)
        if part.get(key, 0) is None and value is not None:
            part[key] = value
            said.append(f"{words.format(value)}, as before")
    return said


def _choose_falls(cfg: Config, num_epochs: int, before: Config | None) -> list[str]:
    """Fill in when schedules by epoch begin; a former run of the same length decides. What was chosen, in words."""
    said = []
    same_length = before is not None and (before.get("train_cfg") or {}).get("max_epochs") == num_epochs
    former = dict(schedules_of(before)) if before is not None and same_length else {}
    for key, schedule in _open_schedules(cfg):
        schedule.begin = former.get(key, {}).get("begin", first_fall(num_epochs))
        said.append(f"the learning rate stays for {counted(schedule.begin, 'epoch')}, then falls")
    return said


def _open_schedules(cfg: Config) -> list[tuple[str, ConfigDict]]:
    """Keys and schedules by epoch whose begin is None."""
    return [
        (key, schedule)
        for key, schedule in schedules_of(cfg)
        if schedule.get("begin", 0) is None and schedule.get("by_epoch", True)
    ]


def _side_of(before: Config) -> int | None:
    """The long side to which a former run resized the images of its validation."""
    for step in ((before.get("val_dataloader") or {}).get("dataset") or {}).get("pipeline", ()):
        if step.get("type") == "Resize" and step.get("scale"):
            return int(max(step["scale"]))
    return None


def check_chosen(cfg: Config, *, training: bool = True) -> None:
    """Refuse to train, or else to evaluate, what still waits for a training set.

    Raises:
        InputError: it names the open keys and where the set was looked for.
    """
    if keys := [key for key in _open_keys(cfg) if training or not key.startswith(("train_cfg", "param_scheduler"))]:
        files = ", ".join(map(str, _training_files(cfg))) or "no path"
        raise InputError(
            f"the config leaves {', '.join(keys)} to the training set, and there is none at {files}; name its folder: "
            "--data DIR"
        )


def loaders_of(cfg: Config) -> list[ConfigDict]:
    """The dataloaders that a config has."""
    return [cfg[f"{split}_dataloader"] for split in ("train", "val", "test") if cfg.get(f"{split}_dataloader")]


def _open_keys(cfg: Config) -> list[str]:
    """Keys whose values are to be chosen."""
    loop = cfg.get("train_cfg") or {}
    sizes = open_sizes([loader.dataset for loader in loaders_of(cfg)], cfg.get("custom_hooks"))
    keys = ["image sizes"] if next(sizes, None) else []
    keys += ["batch sizes"] if any(loader.get("batch_size", 1) is None for loader in loaders_of(cfg)) else []
    keys += [f"train_cfg.{key}" for key in ("max_epochs", "val_interval") if loop.get(key, 0) is None]
    return keys + [f"{key}.begin" for key, _ in _open_schedules(cfg)]


def _training_files(cfg: Config) -> list[Path]:
    loader = cfg.get("train_dataloader")
    return [annotation_file(dataset) for dataset in leaf_datasets(loader.dataset)] if loader else []


def _training_set(cfg: Config) -> dict[str, Any] | None:
    """The content of the annotation file, of several the largest; None where one is missing."""
    files = _training_files(cfg)
    if not files or not all(file.is_file() for file in files):
        return None
    contents = []
    for file in files:
        content = read_json(file)
        check_coco(content, file)
        contents.append(content)
    return max(contents, key=lambda content: len(content["images"]))


def open_sizes(*places: Any) -> Iterator[tuple[ConfigDict, str]]:
    """Transforms whose size is None, and the key."""
    for place in places:
        if isinstance(place, dict):
            yield from ((place, key) for key in _SIZES if key in place and place[key] is None)
            yield from open_sizes(*place.values())
        elif isinstance(place, (list, tuple)):
            yield from open_sizes(*place)
