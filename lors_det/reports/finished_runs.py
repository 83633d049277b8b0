"""Finished runs of one config, of several seeds: which they are, and what AP they reached."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lors_det.data.words import listed
from lors_det.errors import InputError
from lors_det.plugin.config.course import OWN_HOOKS, course
from lors_det.plugin.config.data import image_folder, leaf_datasets
from lors_det.plugin.config.names import leaves
from lors_det.plugin.hooks.patience import PatienceHook, standing
from lors_det.reports.scalars import read_scalars

_AP = "coco/bbox_mAP"
_SEED = "randomness.seed"


@dataclass(frozen=True)
class FinishedRun:
    """A run whose training came to its end."""

    work_dir: Path
    config: Config | None
    """That it keeps; None where it keeps none."""
    ap: float
    """Of the last validation."""


_OF_A_TRAINING = re.compile(
    r"train_cfg\.(max_epochs|max_iters)|custom_hooks|load_from|model\.(.*\.)?init_cfg.*|model\.test_cfg.*"
    r"|val_dataloader\.dataset\.(.*\.)?(type|pipeline|indices|filter_cfg.*)"
    r"|val_evaluator\.(?!ann_file|outfile_prefix|classwise|backend_args).*"
    rf"|default_hooks\.(?!({OWN_HOOKS})\b).*"
)
"""Beside :func:`lors_det.plugin.config.course.course`, which leaves out what may change where one is resumed."""

_LONGEST = 80
"""Of a value in a message, such as a pipeline."""

_ANNOTATIONS = re.compile(r"(train|val)_dataloader\.dataset\.(.*\.)?ann_file")


def finished_runs(folder: Path, cfg: Config) -> list[FinishedRun]:
    """The run whose work dir a folder is, or those of several seeds whose work dirs it holds.

    Args:
        folder: see above.
        cfg: the config whose runs they are; where a run keeps its own, that counts.

    Raises:
        InputError: if there is none, one did not come to its end or was never validated, two were validated on other
            sets, trained with other values, or have the same seed.
    """
    places = [path for path in (folder, *sorted(folder.glob("*/"))) if any(path.glob("*/vis_data/scalars.json"))]
    if not places:
        raise InputError(f"{folder} holds no run; train the config there: lors-det train CONFIG --work-dir {folder}")
    kept = {place: _kept_config(place, Path(cfg.filename).name) for place in places}
    _check_seeds(folder, {place: config for place, config in kept.items() if config is not None})
    return [FinishedRun(place, kept[place], _final_ap(place, kept[place] or cfg)) for place in places]


def _kept_config(work_dir: Path, name: str) -> Config | None:
    """The one that the training left there, called as the config; another name may be that of a converted model."""
    own = work_dir / name
    files = [own] if own.is_file() else sorted(work_dir.glob("*.py"))
    tests = {path.with_name(f"{path.stem}_test.py") for path in files}
    files = [path for path in files if path not in tests]
    if len(files) > 1:
        raise InputError(
            f"{work_dir} holds {len(files)} configs, {listed([path.name for path in files])}, and none called {name}; "
            "leave the one that was trained there"
        )
    try:
        return Config.fromfile(files[0]) if files else None
    except SyntaxError as error:
        raise InputError(
            f"config {files[0]} is damaged ({error}); the training wrote it, and can write it again"
        ) from error


def _check_seeds(folder: Path, kept: Mapping[Path, Config]) -> None:
    """Refuse runs that are not several seeds of one training."""
    sets = {images: place for place, config in kept.items() if (images := tuple(_validated_on(config)))}
    if len(sets) > 1:
        words = ", ".join(f"{place.name} on {listed(images)}" for images, place in sets.items())
        raise InputError(f"runs in {folder} were validated on different sets: {words}; leave those of one there")
    courses = {place: dict(_values(config)) for place, config in kept.items()}
    seeds = {place: values.pop(_SEED, None) for place, values in courses.items()}
    for (one, values), (other, others) in combinations(courses.items(), 2):
        keys = [key for key in dict.fromkeys((*values, *others)) if values.get(key) != others.get(key)]
        if keys:
            key, more = keys[0], f" (and {len(keys) - 1} more)" if keys[1:] else ""
            raise InputError(
                f"runs in {folder} are no seeds of one training: {key} is {_shown(values, key)} in {one.name} "
                f"and {_shown(others, key)} in {other.name}{more}; leave those of one there, and give the "
                "others a config of their own"
            )
        if seeds[one] is not None and seeds[one] == seeds[other]:
            raise InputError(
                f"runs {one.name} and {other.name} in {folder} have the same seed, {seeds[one]}, and are no two "
                "results; leave one of them there"
            )


def _lists(value: Any) -> Any:
    """Tuples as lists, inside of others too: a config that was dumped and one that was read may differ there."""
    if isinstance(value, dict):
        return {key: _lists(each) for key, each in value.items()}
    return [_lists(each) for each in value] if isinstance(value, (list, tuple)) else value


def _shown(values: Mapping[str, Any], key: str) -> str:
    text = str(values.get(key, "not set"))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _values(config: Config) -> Iterator[tuple[str, Any]]:
    """Values that tell one training from another, and how it is validated; of files the names, for they may move."""
    yield from course(config)
    for key, value in leaves(config._cfg_dict):
        if _OF_A_TRAINING.fullmatch(key):
            yield key, _lists(value)
        elif _ANNOTATIONS.fullmatch(key):
            yield key, Path(str(value)).name


def _validated_on(config: Config) -> Iterator[str]:
    """Where the images of a run's validation lie."""
    loader = config.get("val_dataloader")
    for dataset in leaf_datasets(loader.dataset) if loader else ():
        yield str(image_folder(dataset))


def _final_ap(work_dir: Path, cfg: Config) -> float:
    """That of the last epoch; where the config leaves their number to the data, of the last validation."""
    _, val = read_scalars(work_dir)
    if not val:
        raise InputError(
            f"the run in {work_dir} was never validated, so that it has no AP; lors-det test CONFIG CHECKPOINT --split "
            "val tells it"
        )
    loop = cfg.get("train_cfg") or {}
    unit = "iteration" if loop.get("max_iters") else "epoch"
    last = loop.get("max_iters") or loop.get("max_epochs")
    if last not in (None, val[-1]["step"]) and not _is_exhausted(val, cfg):
        raise InputError(
            f"the run in {work_dir} has no AP of its last {unit}, {last}, but of {val[-1]['step']:.0f}; let it finish "
            "(--resume)"
        )
    if val[-1][_AP] < 0:
        raise InputError(
            f"the run in {work_dir} has {_AP} {val[-1][_AP]:g}, which says that its validation set has no box that "
            "counts; validate it on another"
        )
    return val[-1][_AP]


def _is_exhausted(val: Sequence[Mapping[str, float]], cfg: Config) -> bool:
    """Whether a run ended before its last epoch because its validations gained nothing any more."""
    for hook in cfg.get("custom_hooks") or ():
        if hook and hook.get("type") == PatienceHook.__name__:
            values = {key: value for key, value in hook.items() if key in ("monitor", "patience", "min_gain")}
            patience = PatienceHook(**values)
            scores = [entry[patience.monitor] for entry in val if patience.monitor in entry]
            if standing(scores, patience.min_gain)[1] >= patience.patience:
                return True
    return False
