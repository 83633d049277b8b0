"""A run of a study in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

import torch
from filelock import FileLock, Timeout

from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.studies.children import Children
from lors_det.studies.one_run import Order, drop_weights
from lors_det.studies.plan import Run
from lors_det.studies.results import Result

_TOLD = 15
"""Lines of a failed run's log that are shown."""


def carried_out(
    order: Order, jobs: int, slots: SimpleQueue[int], children: Children, *, again: bool
) -> dict[Run, Result] | str:
    """The result of a run, and of the other that its training is too if there is one; or what went wrong, in words.

    Args:
        order: of the run.
        jobs: runs at a time.
        slots: their numbers.
        children: of the study.
        again: whether a training of other values that was not finished is removed.
    """
    try:
        return _carried_out(order, jobs, slots, children, again)
    except (InputError, OSError) as error:  # of this run's folder; others go on
        return f"  {error}"


def _carried_out(
    order: Order, jobs: int, slots: SimpleQueue[int], children: Children, again: bool
) -> dict[Run, Result] | str:
    place = Path(order.work_dir)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(order.lock, timeout=0):
            known = _prepared(order, again)
    except Timeout:
        return f"  {place} is in use: a run goes on whose study was stopped; wait for its end"
    if isinstance(known, str):
        return known
    if known.keys() == order.courses.keys():
        drop_weights(order)  # of a run that was killed before it could
        return known
    log, slot = place / "log.txt", slots.get()
    try:
        with log.open("a") as written:
            before = written.tell()  # of former tries
            command = [sys.executable, "-m", "lors_det.studies.one_run", str(place / "order.json")]
            status = children.run(command, output=written, env=_surroundings(jobs, slot))
    finally:
        slots.put(slot)
    if kept := order.kept():
        if status and kept.keys() != order.courses.keys():
            words = "without the mean it is not validated, but trained by itself"
            print(
                f"{place.parent.name}/{place.name}: status {status} after its result; {words}: {log}", file=sys.stderr
            )
        return kept
    with log.open("rb") as written:
        written.seek(before)
        lines = written.read().decode(errors="replace").splitlines()
    return "\n".join([*(f"  {line}" for line in lines[-_TOLD:]), f"  status {status}; all of it: {log}"])


def _prepared(order: Order, again: bool) -> dict[Run, Result] | str:
    """What former tries have reached, with the order in its place; or why the folder is left alone."""
    place = Path(order.work_dir)
    paper = place / "order.json"
    if paper.is_file():
        try:
            content = json.loads(paper.read_text(encoding="utf-8"))
            former = content["course"], content["data"], content["seed"]
        except (ValueError, KeyError, TypeError) as error:
            return f"  {paper} cannot be read ({error!r}); remove {place}, or name another --work-dir"
        if former != (order.course, order.data, order.seed):
            if any(place.rglob("*.pth")) and not again:
                return f"  {place} holds a training of other values that was not finished; --again removes it"
            shutil.rmtree(place)  # of a run of other values, which cannot be gone on with
    elif place.exists() and not (place.is_dir() and not any(place.iterdir())):
        return f"  {place} holds files of something else; name another --work-dir"
    place.mkdir(exist_ok=True)
    content = json.dumps(asdict(order)).encode()
    write_whole(paper, lambda file: file.write(content))
    return order.kept()


def _surroundings(jobs: int, slot: int) -> dict[str, str]:
    """The cores shared, unless fewer are asked for, and one GPU for each run of those that there are."""
    own, threads = dict(os.environ), max(1, (os.cpu_count() or 1) // jobs)
    asked = own.get("OMP_NUM_THREADS", "")
    own["OMP_NUM_THREADS"] = str(min(threads, int(asked)) if jobs > 1 and asked.isdecimal() else asked or threads)
    if jobs > 1 and (gpus := torch.cuda.device_count()) > 1:
        names = own.get("CUDA_VISIBLE_DEVICES", "").split(",")
        own["CUDA_VISIBLE_DEVICES"] = names[slot % gpus] if len(names) >= gpus else str(slot % gpus)
    return own
