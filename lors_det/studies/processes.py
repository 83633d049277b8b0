"""A run of a study in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from lors_det.studies.one_run import Order
from lors_det.studies.plan import Run
from lors_det.studies.results import Result, read_results

_TOLD = 15
"""Lines of a failed run's log that are shown."""


def carried_out(order: Order, jobs: int, slots: SimpleQueue[int]) -> dict[Run, Result] | str:
    """The result of a run, and of the other that its training is too if there is one; or the end of its log."""
    place = Path(order.work_dir)
    paper, log = place / "order.json", place / "log.txt"
    if not paper.is_file() and place.is_dir() and any(place.iterdir()):
        return f"  {place} holds files of something else; name another --work-dir"
    if paper.is_file() and _former(paper) != (order.course, order.data, order.seed):
        shutil.rmtree(place)  # of a run of other values, which cannot be gone on with
    place.mkdir(parents=True, exist_ok=True)
    if known := read_results(Path(order.results)):  # of a run that went on to its end when the study had been stopped
        return known
    paper.write_text(json.dumps(asdict(order)), encoding="utf-8")
    slot = slots.get()
    try:
        with log.open("a") as written:
            ended = subprocess.run(
                [sys.executable, "-m", "lors_det.studies.one_run", str(paper)],
                stdout=written,
                stderr=subprocess.STDOUT,
                env=_surroundings(jobs, slot),
                check=False,
            )
    finally:
        slots.put(slot)
    if ended.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([*(f"  {line}" for line in lines[-_TOLD:]), f"  status {ended.returncode}; all of it: {log}"])
    return read_results(Path(order.results))


def _former(paper: Path) -> tuple[str, str, int] | None:
    """What a folder's former order was for."""
    try:
        content = json.loads(paper.read_text(encoding="utf-8"))
        return content["course"], content["data"], content["seed"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _surroundings(jobs: int, slot: int) -> dict[str, str]:
    """The cores shared, where nothing else is said, and one GPU for each run."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    own: dict[str, Any] = {"OMP_NUM_THREADS": threads, **os.environ} if jobs == 1 else {**os.environ}
    if jobs > 1:
        own["OMP_NUM_THREADS"] = threads
    if (gpus := torch.cuda.device_count()) > 1 and jobs > 1:
        own["CUDA_VISIBLE_DEVICES"] = str(slot % gpus)
    return own
