"""One run of a study, in a process of its own: ``python -m lors_det.studies.one_run ORDER``.

ORDER is a JSON file, see :class:`Order`; the results are written where it says.
"""

from __future__ import annotations

import json
import platform
import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mmdet
import torch
from filelock import FileLock
from mmengine.config import Config

from lors_det.errors import INTERRUPTED, TERMINATED, InputError, Terminated
from lors_det.files import write_whole
from lors_det.plugin.config.reading import read_config
from lors_det.plugin.saving.latest import latest_checkpoint
from lors_det.reports.accounting import count_macs, count_parameters
from lors_det.reports.scalars import read_scalars
from lors_det.studies.current_weights import validate_current
from lors_det.studies.fingerprints import is_steered
from lors_det.studies.first import first_weights
from lors_det.studies.plan import Run
from lors_det.studies.results import Result, read_results, write_results
from lors_det.training import train

FIRST = "first"
"""Folder in a run's work dir of what is trained before it."""


@dataclass(frozen=True)
class Order:
    """What to train, and where to write its results."""

    set: str
    arm: str
    seed: int
    course: str
    data: str
    config: str
    folder: str | None
    image_side: int | None
    options: dict[str, Any]
    shape: tuple[int, int]
    work_dir: str
    current_arm: str | None = None
    """Arm of the same training, which validates its weights and no mean of them; its result is written too."""
    current_course: str | None = None
    """That arm's fingerprint."""
    first_config: str | None = None
    """What is trained before, if anything is."""
    first_options: dict[str, Any] | None = None
    """Values of that."""

    @property
    def results(self) -> Path:
        """The file of the results."""
        return Path(self.work_dir, "results.json")

    @property
    def lock(self) -> Path:
        """Held by the process that trains in the work dir, which is not inside it."""
        return Path(f"{self.work_dir}.lock")

    @property
    def courses(self) -> dict[Run, str]:
        """The runs that it is for, and their fingerprints."""
        courses = {Run(self.set, self.arm, self.seed): self.course}
        if self.current_arm and self.current_course:
            courses[Run(self.set, self.current_arm, self.seed)] = self.current_course
        return courses

    def kept(self) -> dict[Run, Result]:
        """Those of its results that are written, and are of its values."""
        return {
            run: result
            for run, result in read_results(self.results).items()
            if (result.course, result.data) == (self.courses.get(run), self.data)
        }


def carry_out(order: Order) -> None:
    """Train, from where a former try stopped, and write each result when it is there; the checkpoints are not kept."""
    work_dir, kept = Path(order.work_dir), order.kept()
    own, *others = order.courses
    if own not in kept:
        kept[own] = _trained(order)
        write_results(order.results, kept.values())
    for run in others:
        if run not in kept:
            kept[run] = replace(
                kept[own],
                arm=run.arm,
                course=order.courses[run],
                metrics=validate_current(work_dir, order.config),
                trained_as=own.arm,
            )
            write_results(order.results, kept.values())
    drop_weights(order)


def drop_weights(order: Order) -> None:
    """Remove the checkpoints of a run, all of whose results are written."""
    work_dir = Path(order.work_dir)
    for checkpoint in (*work_dir.glob("*.pth"), *(work_dir / FIRST).glob("*.pth")):
        checkpoint.unlink()


def _trained(order: Order) -> Result:
    work_dir = Path(order.work_dir)
    for config, values in ((order.config, order.options), (order.first_config, order.first_options)):
        if config and is_steered(read_config(config, values)):
            raise InputError(
                f"{config}: a hook or scheduler follows the validations, and a study takes the last epoch's; set "
                "train_cfg.val_interval to train_cfg.max_epochs, or take it out"
            )
    commits = _commits(work_dir / "commits.txt")
    options, steps_before = order.options, 0
    if order.first_config:
        weights, steps_before = first_weights(
            work_dir / FIRST,
            (order.first_config, order.first_options or {}),
            (order.config, order.options),
            order.folder,
            order.image_side,
        )
        options = {**options, "load_from": str(weights)}
    trained = train(
        order.config,
        order.folder,
        work_dir=work_dir,
        image_side=order.image_side,
        options=options,
        resume_from="auto",
        console="quiet",
    )
    cfg = Config.fromfile(trained.config)
    steps, validations = read_scalars(work_dir)
    parameters, macs = count_parameters(cfg), count_macs(cfg, *order.shape)
    last = latest_checkpoint(work_dir)
    if last is None or not validations or validations[-1]["step"] != cfg.train_cfg.max_epochs:
        raise InputError(f"{work_dir} has no validation of its last epoch, {cfg.train_cfg.max_epochs}")
    return Result(
        set=order.set,
        arm=order.arm,
        seed=order.seed,
        course=order.course,
        data=order.data,
        commit=commits,
        versions=_versions(),
        metrics={name: value for name, value in validations[-1].items() if name.startswith("coco/")},
        parameters={name: parameters[name] for name in ("decoder", "model")},
        macs={name: macs[name] for name in ("decoder", "total")},
        steps=steps_before + int(last.content["meta"]["iter"]),
        seconds_per_step=statistics.median(entry["time"] for entry in steps),
        memory_mib=_memory_mib(),
    )


def _commits(note: Path) -> str:
    """Those that this run was started at, of which the last is now's."""
    commits = note.read_text(encoding="utf-8").split() if note.is_file() else []
    commits = list(dict.fromkeys(filter(None, [*commits, commit_of_this()])))
    write_whole(note, lambda file: file.write("\n".join(commits).encode()))
    return "; ".join(commits)


def commit_of_this() -> str:
    """Of this project's checkout, with a + where files of its code or configs were changed since; else empty."""
    root = Path(__file__).parents[2]
    git = ["git", "-C", str(root)]
    try:
        top = subprocess.run([*git, "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True)
        if Path(top.stdout.strip()).resolve() != root.resolve():  # another's, in which this package is installed
            return ""
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "lors_det", "configs"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


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
        order = Order(**json.loads(Path(path).read_text(encoding="utf-8")))
        with FileLock(order.lock):
            carry_out(order)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Terminated as end:
        print(f"ended, as SIGTERM asks; the study goes on from here: {end}", file=sys.stderr)
        return TERMINATED
    except KeyboardInterrupt as end:
        print(f"interrupted; the study goes on from here: {end}", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
