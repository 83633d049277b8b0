"""Fingerprints of what decides a run's figures: a result is one of a study's values only while they are the same."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

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
    cfg = read_config(study.config_of(run), study.options_of(run))
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
