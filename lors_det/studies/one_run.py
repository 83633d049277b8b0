"""One run of a study, in a process of its own: ``python -m lors_det.studies.one_run ORDER``.

ORDER is a JSON file, see :class:`Order`; the results are written where it says.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mmdet
import torch
from mmengine.config import Config

from lors_det.errors import InputError
from lors_det.plugin.saving.latest import latest_checkpoint
from lors_det.reports.accounting import count_macs, count_parameters
from lors_det.reports.scalars import read_scalars
from lors_det.studies.current_weights import validate_current
from lors_det.studies.results import Result, write_results
from lors_det.training import train


@dataclass(frozen=True)
class Order:
    """What to train, and where to write its result."""

    set: str
    arm: str
    seed: int
    course: str
    data: str
    commit: str
    config: str
    folder: str | None
    image_side: int | None
    options: dict[str, Any]
    shape: tuple[int, int]
    work_dir: str
    results: str
    current_arm: str | None = None
    """Arm of the same training, which validates its weights and no mean of them; its result is written too."""
    current_course: str | None = None
    """That arm's fingerprint."""


def carry_out(order: Order) -> None:
    """Train, from where a former try stopped, and write the results; the checkpoints are not kept."""
    work_dir = Path(order.work_dir)
    trained = train(
        order.config,
        order.folder,
        work_dir=work_dir,
        image_side=order.image_side,
        options=order.options,
        resume_from="auto",
        console="quiet",
    )
    cfg = Config.fromfile(trained.config)
    steps, validations = read_scalars(work_dir)
    parameters, macs = count_parameters(cfg), count_macs(cfg, *order.shape)
    if not validations or validations[-1]["step"] != cfg.train_cfg.max_epochs:
        raise InputError(f"{work_dir} has no validation of its last epoch, {cfg.train_cfg.max_epochs}")
    last = validations[-1]
    result = Result(
        set=order.set,
        arm=order.arm,
        seed=order.seed,
        course=order.course,
        data=order.data,
        commit=order.commit,
        versions=_versions(),
        metrics={name: value for name, value in last.items() if name.startswith("coco/")},
        parameters={name: parameters[name] for name in ("decoder", "model")},
        macs={name: macs[name] for name in ("decoder", "total")},
        steps=int(steps[-1]["iter"]),
        seconds_per_step=statistics.median(entry["time"] for entry in steps),
        memory_mib=_memory_mib(),
    )
    results = [result]
    if order.current_arm and order.current_course:
        found = latest_checkpoint(work_dir)
        assert found is not None  # the last epoch's
        metrics = validate_current(trained.config, found.content, work_dir / "current")
        results.append(replace(result, arm=order.current_arm, course=order.current_course, metrics=metrics))
    write_results(Path(order.results), results)
    for checkpoint in work_dir.glob("*.pth"):
        checkpoint.unlink()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "torch": torch.__version__, "mmdet": mmdet.__version__}
    if torch.cuda.is_available():
        versions["GPU"] = torch.cuda.get_device_name()
    return versions


def _memory_mib() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main(path: str) -> int:
    """Carry out an order; returns the exit status."""
    try:
        carry_out(Order(**json.loads(Path(path).read_text(encoding="utf-8"))))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
