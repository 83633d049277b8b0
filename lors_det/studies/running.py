"""The runs of a study, several at a time, each in a process of its own; what is known already is not run again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from lors_det.errors import InputError
from lors_det.plugin.config.names import leaves
from lors_det.plugin.config.reading import read_config
from lors_det.studies.one_run import Order
from lors_det.studies.plan import Run, Study
from lors_det.studies.results import Result, read_results, write_results
from lors_det.training.resuming import course

ECONOMY = {"default_hooks.checkpoint.max_keep_ckpts": 1, "default_hooks.checkpoint.save_best": None}
"""Values of every run: one checkpoint, to go on from, is enough."""

_TOLD = 15
"""Lines of a failed run's log that are shown."""


def course_of(study: Study, run: Run) -> str:
    """Fingerprint of all that decides a run's weights: values of the config, and the name of the data."""
    cfg = read_config(study.config_of(run), study.options_of(run))
    data = study.sets[run.set].data
    start = [f"{key}={value!r}" for key, value in leaves(cfg.model) if "init_cfg" in key] + [str(cfg.get("load_from"))]
    deciding = [f"{key}={value!r}" for key, value in sorted(course(cfg), key=lambda pair: pair[0])]
    hooks = [repr(hook) for hook in cfg.get("custom_hooks") or ()]
    values = [deciding, hooks, start, cfg.train_cfg.get("max_epochs"), data.name if data else None]
    values.append(study.sets[run.set].image_side)
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def run_study(
    study: Study,
    out: Path,
    work_dir: Path,
    *,
    jobs: int = 1,
    again: bool = False,
    say: Callable[[str], object] = print,
) -> dict[Run, Result]:
    """Train what has no result yet, and keep each result as soon as it is there.

    A run of the same values and seed that a study beside this one has made is not made again. A run that was stopped
    goes on from its last checkpoint. A run that fails is told of, and the others go on.

    Args:
        study: what to run.
        out: folder of ``results.json``.
        work_dir: folder of the runs, ``SET/ARM/seedN``.
        jobs: runs at a time; the cores are shared among them, and GPUs are taken in turn.
        again: run again what has a result of other values.
        say: is told each thing that happens, in words.

    Returns:
        All results that there are, by run.

    Raises:
        InputError: if a config is wrong, or results are of other values than the study's, unless ``again``.
    """
    file = out / "results.json"
    results = read_results(file)
    runs = list(study.runs())
    courses = {run: course_of(study, run) for run in runs}
    changed = [run for run in runs if run in results and results[run].course != courses[run]]
    if changed and not again:
        names = ", ".join(map(str, changed[:4])) + (f" and {len(changed) - 4} more" if len(changed) > 4 else "")
        raise InputError(f"{file} has results of other values than the study's for {names}; --again runs them again")
    missing = [run for run in runs if run not in results or run in changed]
    if borrowed := borrow(missing, courses, out):
        results.update(borrowed)
        write_results(file, results.values())
        missing = [run for run in missing if run not in borrowed]
        say(f"{len(borrowed)} runs are those of other studies in {out.parent}")
    if not missing:
        return results
    commit = commit_of_this()
    with _pool(jobs) as (pool, slots):
        futures = {}
        for run in missing:
            order = _order(study, run, courses[run], commit, work_dir)
            futures[pool.submit(_carried_out, order, jobs, slots)] = run
        for number, (run, outcome) in enumerate(_outcomes(futures), start=1):
            place = f"({number} of {len(missing)})"
            if isinstance(outcome, str):
                say(f"{run} failed {place}:\n{outcome}")
                continue
            results[run] = outcome
            write_results(file, results.values())
            score = outcome.metrics.get(study.metric)
            if score is None:
                raise InputError(f"metric {study.metric}: the validation has {', '.join(outcome.metrics)}")
            say(f"{run}: {study.metric} {score:.3f} {place}")
    return results


def borrow(runs: Iterable[Run], courses: Mapping[Run, str], out: Path) -> dict[Run, Result]:
    """Results of runs of the same values and seed in the folders beside ``out``."""
    known: dict[tuple[str, int], Result] = {}
    for file in sorted(out.absolute().parent.glob("*/results.json")):
        if file.parent != out.absolute():
            known |= {(result.course, result.seed): result for result in read_results(file).values()}
    found = {run: known[courses[run], run.seed] for run in runs if (courses[run], run.seed) in known}
    return {run: replace(result, set=run.set, arm=run.arm) for run, result in found.items()}


def _outcomes(futures: dict[Future[Result | str], Run]) -> Iterator[tuple[Run, Result | str]]:
    for future in as_completed(futures):
        yield futures[future], future.result()


@contextmanager
def _pool(jobs: int) -> Iterator[tuple[ThreadPoolExecutor, SimpleQueue[int]]]:
    """Threads that wait for processes; when one gives up, what has not begun never does."""
    slots: SimpleQueue[int] = SimpleQueue()
    for slot in range(jobs):
        slots.put(slot)
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool, slots
    finally:
        pool.shutdown(cancel_futures=True)


def _order(study: Study, run: Run, fingerprint: str, commit: str, work_dir: Path) -> Order:
    place = work_dir.absolute() / str(run)
    data = study.sets[run.set].data
    return Order(
        set=run.set,
        arm=run.arm,
        seed=run.seed,
        course=fingerprint,
        commit=commit,
        config=study.config_of(run),
        data=str(data) if data else None,
        image_side=study.sets[run.set].image_side,
        options={**ECONOMY, **study.options_of(run)},
        shape=study.sets[run.set].shape,
        work_dir=str(place),
        result=str(place / "result.json"),
    )


def _carried_out(order: Order, jobs: int, slots: SimpleQueue[int]) -> Result | str:
    """The result of a run, or the end of its log."""
    place = Path(order.work_dir)
    place.mkdir(parents=True, exist_ok=True)
    paper, log = place / "order.json", place / "log.txt"
    paper.write_text(json.dumps(asdict(order)), encoding="utf-8")
    Path(order.result).unlink(missing_ok=True)
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
    return Result(**json.loads(Path(order.result).read_text(encoding="utf-8")))


def _surroundings(jobs: int, slot: int) -> dict[str, str]:
    """The cores shared, where nothing else is said, and one GPU for each run."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    own: dict[str, Any] = {"OMP_NUM_THREADS": threads, **os.environ} if jobs == 1 else {**os.environ}
    if jobs > 1:
        own["OMP_NUM_THREADS"] = threads
    if (gpus := torch.cuda.device_count()) > 1 and jobs > 1:
        own["CUDA_VISIBLE_DEVICES"] = str(slot % gpus)
    return own


def commit_of_this() -> str:
    """Of this project's checkout, with a + where files of its code or configs were changed since; else empty."""
    root = Path(__file__).parents[2]
    git = ["git", "-C", str(root)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", "lors_det", "configs"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
