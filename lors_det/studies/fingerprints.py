"""Fingerprints of what decides a run's figures: a result is one of a study's values only while they are the same."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from lors_det.data.listing import Listing
from lors_det.errors import InputError
from lors_det.plugin.config.course import OWN_HOOKS
from lors_det.plugin.config.data import annotation_file, image_folder, leaf_datasets
from lors_det.plugin.config.names import leaves
from lors_det.plugin.config.reading import read_config
from lors_det.studies.plan import Run, Study
from lors_det.studies.results import Result

_OF_NO_MATTER = re.compile(
    r"work_dir|launcher|log_|visualizer|vis_backends|env_cfg|resume\b|experiment_name|randomness\.seed"
    r"|.*_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor)"
    rf"|default_hooks\.({OWN_HOOKS})\b"
)
"""Beginnings of keys that decide neither weights nor figures, or that runs have by themselves.

Hooks that mmengine and ``configs/_base_/runtime.py`` call otherwise may decide both, as a mean of the weights does.
"""

_PLACE = re.compile(r".*\.?data_root")
"""Beginnings of keys that say where the config's data lie, which decides nothing where a study names the data."""

_WEIGHTS = re.compile(r"(.*\.)?(load_from|checkpoint)$")
"""Keys that may name a file of weights."""

_DEPTH = 64  # folders in folders
_ANNOTATIONS = {".json", ".xml", ".txt", ".yaml", ".yml"}


class Fingerprints:
    """Those of all runs and sets of a study.

    Args:
        study: whose configs and folders are read.
        needed: sets and arms whose data has to be there; of others that is not, there is no fingerprint.

    Attributes:
        courses: by run.
        data: by set and arm; None where the data is not there.

    Raises:
        InputError: if a config is wrong, or data that is needed is not there.
    """

    def __init__(self, study: Study, needed: Collection[tuple[str, str]]) -> None:
        of_seed = {(run.set, run.arm): run for run in study.runs()}  # seeds decide nothing of them
        of_arm = {key: courses_of(study, run) for key, run in of_seed.items()}
        self.courses = {run: of_arm[run.set, run.arm] for run in study.runs()}
        self.data: dict[tuple[str, str], str | None] = {}
        of_folder: dict[str, str | None] = {}  # which is that of all arms
        for key, run in of_seed.items():
            try:
                self.data[key] = of_folder[run.set] if run.set in of_folder else data_of(study, run)
            except InputError:
                if key in needed:
                    raise
                self.data[key] = None
            if study.sets[run.set].data is not None:
                of_folder[run.set] = self.data[key]

    def changed(self, results: Mapping[Run, Result]) -> list[Run]:
        """Runs whose results are of other values than the study's; of data that is not there, nothing is known."""
        return [
            run
            for run, courses in self.courses.items()
            if run in results
            and (results[run].course != courses.own or self.data[run.set, run.arm] not in (results[run].data, None))
        ]


def course_of(study: Study, run: Run) -> str:
    """Fingerprint of all values that decide a run's weights and figures: the whole config but what is of no matter."""
    return courses_of(study, run).own


class Courses(NamedTuple):
    """Fingerprints of a run.

    Attributes:
        own: of all values that decide its weights and figures.
        current: of the same training whose weights are validated as they are; as ``own`` where that is what this one
            does. A mean of the weights changes no step, so that one training is both, unless validations steer it.
    """

    own: str
    current: str


def courses_of(study: Study, run: Run) -> Courses:
    """See :class:`Courses`."""
    cfg = read_config(study.config_of(run), study.options_of(run))
    if (cfg.get("train_cfg") or {}).get("max_iters"):
        raise InputError(
            f"{study.path}: arm {run.arm} trains by iterations, and studies take the last epoch's validation"
        )
    own = _fingerprint(study, run, cfg)
    return Courses(own, _fingerprint(study, run, cfg) if not is_steered(cfg) and drop_mean(cfg) else own)


def is_steered(cfg: Config) -> bool:
    """Whether validations before the last epoch's may end a training, or change its learning rate."""
    hooks = {hook["type"] for hook in (*(cfg.get("custom_hooks") or ()), *_named_hooks(cfg).values()) if hook}
    schedulers = cfg.get("param_scheduler") or []
    follows = hooks & {"PatienceHook", "EarlyStoppingHook"} or any(
        "ReduceOnPlateau" in scheduler["type"]
        for scheduler in (schedulers if isinstance(schedulers, list) else [schedulers])
    )
    train_cfg = cfg.get("train_cfg") or {}
    interval, epochs = train_cfg.get("val_interval", 1), train_cfg.get("max_epochs")
    # what the training set decides has several validations
    several = None in (interval, epochs) or train_cfg.get("dynamic_intervals") or interval < epochs
    return bool(follows and several)


def drop_mean(cfg: Config) -> bool:
    """Take the mean of the weights, ``EMAHook``, out of a config; returns whether it had one."""
    hooks, named = cfg.get("custom_hooks") or [], _named_hooks(cfg)
    means = [name for name, hook in named.items() if hook and hook["type"] == "EMAHook"]
    for name in means:
        del named[name]
    others = [hook for hook in hooks if not hook or hook["type"] != "EMAHook"]
    if len(others) == len(hooks):
        return bool(means)
    if others:
        cfg.custom_hooks = others
    else:
        cfg.pop("custom_hooks")
    return True


def _named_hooks(cfg: Config) -> dict[str, Any]:
    """Hooks of a config that have names; those of mmengine are there too."""
    hooks: dict[str, Any] = cfg.get("default_hooks") or {}
    return hooks


def _fingerprint(study: Study, run: Run, cfg: Config) -> str:
    values, first = _values(study, run, cfg), study.first_of(run)
    if first:
        values += [f"first {value}" for value in _values(study, run, read_config(first.config, dict(first.options)))]
    return hashlib.sha256("\n".join(sorted(values)).encode()).hexdigest()[:16]


def _values(study: Study, run: Run, cfg: Config) -> list[str]:
    """What decides the weights and figures of a training by a config."""
    data = study.sets[run.set]
    found = {key: value for key, value in leaves(cfg._cfg_dict) if not _OF_NO_MATTER.match(key)}
    if data.data:
        found = {key: value for key, value in found.items() if not _PLACE.match(key)}
    values = [f"{key}={_plain(value)!r}" for key, value in found.items()]
    for key, value in found.items():
        if isinstance(value, str) and _WEIGHTS.match(key) and os.path.isfile(value):
            values.append(f"{key} holds {hashlib.sha256(Path(value).read_bytes()).hexdigest()}")
    return [*values, f"data={data.data.name if data.data else None}", f"side={data.image_side}", f"shape={data.shape}"]


def _plain(value: Any) -> Any:
    """Lists and tuples alike: which of them a value is depends on how it came."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def data_of(study: Study, run: Run) -> str:
    """Fingerprint of a run's data: names and sizes of all files of its set's folder, and what is in annotations.

    Where the config's own data is used, of its folders of images and its annotation files, and those of what is trained
    first. Links are followed; files and folders whose names start with a dot, as systems put them there, do not count.

    Raises:
        InputError: if a folder is not there, or empty, or an annotation file is missing.
    """
    folder = study.sets[run.set].data
    if folder is None:
        return _data_of_configs(study, run)
    if not folder.is_dir() or not any(folder.iterdir()):
        raise InputError(
            f"{study.path}: sets.{run.set}.data {folder} holds no data; put it there, or run others with --only"
        )
    digest = hashlib.sha256()
    _take(digest, folder)
    return digest.hexdigest()[:16]


def _data_of_configs(study: Study, run: Run) -> str:
    cfgs = [read_config(study.config_of(run), study.options_of(run))]
    if first := study.first_of(run):
        cfgs.append(read_config(first.config, dict(first.options)))
    digest = hashlib.sha256()
    loaders = [cfg.get(f"{split}_dataloader") for cfg in cfgs for split in ("train", "val")]
    datasets = [dataset for loader in loaders if loader for dataset in leaf_datasets(loader.dataset)]
    for file in sorted(set(map(annotation_file, datasets))):
        if not file.is_file():
            raise InputError(
                f"{study.path}: sets.{run.set} has no data of its own, and {file}, of its config, does not exist; put "
                "it there, or run others with --only"
            )
        digest.update(file.read_bytes())
    for folder in sorted(set(map(image_folder, datasets))):
        if folder.is_dir():
            _take(digest, folder)
    return digest.hexdigest()[:16]


def _take(digest: Any, folder: Path) -> None:
    """What is in a folder, into a digest."""
    paths = [Path(place, name) for place, names in Listing().walk(str(folder), _DEPTH) for name in names]
    for path in sorted(paths):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
            if path.suffix.lower() in _ANNOTATIONS:
                digest.update(path.read_bytes())
