"""Models side by side: size, arithmetic, and the AP of finished runs, as a Markdown table."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath

from mmengine.config import Config

from lors_det.errors import InputError
from lors_det.named_files import CONFIGS, PREFIX, resolve_config_path
from lors_det.plugin.config.reading import config_name
from lors_det.reports.accounting import count_macs, count_parameters
from lors_det.reports.finished_runs import finished_runs

REFERENCE = "lors"
"""In a folder of ablations, the config that the others change."""


def find_configs(arguments: Iterable[str]) -> dict[str, Path]:
    """Config files by name, in which a folder stands for all of its leaves, the reference before the others.

    A config's name is its path under ``configs/``, so that those of two folders differ; outside, its file's name.

    Raises:
        InputError: if a file does not exist, a folder holds no config, or two configs have the same name.
    """
    found: dict[str, Path] = {}
    for argument in arguments:
        folder = CONFIGS / argument.removeprefix(PREFIX) if argument.startswith(PREFIX) else Path(argument)
        paths = list(_leaves(folder)) if folder.is_dir() else [resolve_config_path(argument)]
        if not paths:
            raise InputError(f"folder {argument} holds no config")
        for path in paths:
            other = found.setdefault(config_name(path), path)
            if not other.samefile(path):
                raise InputError(f"{other} and {path} have the same name, {config_name(path)}; rename one")
    return found


def _leaves(folder: Path) -> Iterator[Path]:
    paths = (path for path in folder.rglob("*.py") if "_base_" not in path.parts)
    yield from sorted(paths, key=lambda path: (path.parent, path.stem != REFERENCE, path.stem))


def comparison(configs: Mapping[str, Config], height: int, width: int, runs: Path | None = None) -> str:
    """One row for each config, called by its name less the folders that all names begin with.

    Args:
        configs: name (see :func:`find_configs`): config.
        height: of the padded image that arithmetic is counted for, pixels.
        width: of that image, pixels.
        runs: folder with a folder NAME for each config, which is a run's work dir or holds several, as of several
            seeds; without it the table has no AP. The default work dirs, in ``work_dirs``, are such folders. A model
            is counted as its run trained it, by the config that this keeps.

    Raises:
        InputError: see :func:`lors_det.reports.finished_runs.finished_runs`.
    """
    columns = ["model", "shared", "private mixing", "other, per stage", "decoder", "decoder GMACs", "model GMACs"]
    # before all counting, which takes longer
    found = {name: finished_runs(runs / name, cfg) if runs else [] for name, cfg in configs.items()}
    common = os.path.commonpath([PurePath(name).parent for name in configs])
    rows = [columns + (["AP", "runs"] if runs else []), ["---"] + ["---:"] * (len(columns) - 1 + 2 * bool(runs))]
    for name, cfg in configs.items():
        cfg = next((run.config for run in found[name] if run.config is not None), cfg)
        counts, macs = count_parameters(cfg), count_macs(cfg, height, width)
        parts = (counts[part] for part in ("shared", "private_mixing", "per_stage", "decoder"))
        row = [PurePath(name).relative_to(common).as_posix().replace("|", r"\|"), *(f"{part:,}" for part in parts)]
        row += [f"{macs[part] / 1e9:.3f}" for part in ("decoder", "total")]
        if runs:
            aps = [run.ap for run in found[name]]
            row += [summary(aps), ", ".join(f"{ap:.3f}" for ap in aps)]
        rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def summary(values: list[float]) -> str:
    """Mean, and the sample standard deviation of several."""
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean
