"""Fingerprints of what decides a run's figures: a result is one of a study's values only while they are the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmengine.config import Config

from lors_det.plugin.config.names import leaves
from lors_det.plugin.config.reading import read_config
from lors_det.studies.plan import Run, Study

_OF_NO_MATTER = re.compile(
    r"work_dir|launcher|log_|visualizer|vis_backends|env_cfg|resume\b|default_hooks|experiment_name|randomness\.seed"
    r"|.*_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor)|.*\.?data_root"
)
"""Beginnings of keys that decide neither weights nor figures, or that runs have by themselves."""

_ANNOTATIONS = {".json", ".xml", ".txt", ".yaml", ".yml"}


def course_of(study: Study, run: Run) -> str:
    """Fingerprint of all values that decide a run's weights and figures: the whole config but what is of no matter."""
    return courses_of(study, run).own


class Courses(NamedTuple):
    """Fingerprints of a run.

    Attributes:
        own: of all values that decide its weights and figures.
        current: of the same training whose weights are validated as they are; as ``own`` where that is what this one
            does. A mean of the weights changes no step, so that one training is both.
    """

    own: str
    current: str


def courses_of(study: Study, run: Run) -> Courses:
    """See :class:`Courses`."""
    cfg = read_config(study.config_of(run), study.options_of(run))
    own = _fingerprint(study, run, cfg)
    return Courses(own, _fingerprint(study, run, cfg) if drop_mean(cfg) else own)


def drop_mean(cfg: Config) -> bool:
    """Take the mean of the weights, ``EMAHook``, out of a config; returns whether it had one."""
    hooks = cfg.get("custom_hooks") or []
    others = [hook for hook in hooks if not hook or hook["type"] != "EMAHook"]
    if len(others) == len(hooks):
        return False
    if others:
        cfg.custom_hooks = others
    else:
        cfg.pop("custom_hooks")
    return True


def _fingerprint(study: Study, run: Run, cfg: Config) -> str:
    values = [f"{key}={_plain(value)!r}" for key, value in leaves(cfg._cfg_dict) if not _OF_NO_MATTER.match(key)]
    data = study.sets[run.set]
    values += [f"data={data.data.name if data.data else None}", f"side={data.image_side}", f"shape={data.shape}"]
    return hashlib.sha256("\n".join(sorted(values)).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Lists and tuples alike: which of them a value is depends on how it came."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def data_of(study: Study, name: str) -> str:
    """Fingerprint of a set: names and sizes of all files of its folder, and what is in those of annotations.

    Empty where the config's own data is used.
    """
    folder = study.sets[name].data
    if folder is None:
        return ""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
            if path.suffix.lower() in _ANNOTATIONS:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
