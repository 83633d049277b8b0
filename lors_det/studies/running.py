"""The runs of a study, several at a time, each in a process of its own; what is known already is not run again."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from filelock import FileLock, Timeout

from lors_det.data.words import counted
from lors_det.errors import InputError
from lors_det.studies.children import Children
from lors_det.studies.fingerprints import Courses, Fingerprints
from lors_det.studies.one_run import Order
from lors_det.studies.plan import Run, Study
from lors_det.studies.processes import carried_out
from lors_det.studies.results import Result, read_results, write_results

ECONOMY = {"default_hooks.checkpoint.max_keep_ckpts": 1, "default_hooks.checkpoint.save_best": None}
"""Values of every run: one checkpoint, to go on from, is enough."""


def run_study(
    study: Study,
    out: Path,
    work_dir: Path,
    *,
    jobs: int = 1,
    only: Collection[str] = (),
    again: bool = False,
    say: Callable[[str], object] = print,
) -> dict[Run, Result]:
    """Train what has no result yet, and keep each result as soon as it is there.

    A run of the same values and seed that a study beside this one has made is not made again. A training that validates
    a mean of its weights is also the one without it, if the study has that: at its end the weights themselves are
    validated too, and time and memory of both are this training's. A run that was stopped goes on from its last
    checkpoint. A run that fails is told of, and the others go on.

    Args:
        study: what to run.
        out: folder of ``results.json``.
        work_dir: folder of the runs, ``SET/ARM/seedN``.
        jobs: runs at a time; the cores are shared among them, and GPUs are taken in turn.
        only: patterns of names of runs, SET/ARM/seedN, that are run; all by default.
        again: run again what has a result of other values, and remove trainings of such that were not finished.
        say: is told each thing that happens, in words.

    Returns:
        All results that there are, by run.

    Raises:
        InputError: if a config is wrong, a pattern of ``only`` fits no run, another process runs this study, or results
            are of other values than the study's, unless ``again``.
    """
    runs = chosen(study, only)
    with _alone(out, work_dir):
        return _run(study, runs, out, work_dir, jobs=jobs, again=again, say=say)


def chosen(study: Study, only: Collection[str] = ()) -> list[Run]:
    """The study's runs whose names fit one of the patterns, as ``fnmatch`` has them; all where there is none.

    Raises:
        InputError: if a pattern fits no run.
    """
    runs = list(study.runs())
    for pattern in only:
        if not any(_fits(run, pattern) for run in runs):
            raise InputError(f"study {study.path} has no run {pattern}; the first of its {len(runs)} is {runs[0]}")
    return [run for run in runs if not only or any(_fits(run, pattern) for pattern in only)]


def _fits(run: Run, pattern: str) -> bool:
    return str(run) == pattern or fnmatch.fnmatchcase(str(run), pattern)  # a name may have brackets


def _run(
    study: Study,
    runs: list[Run],
    out: Path,
    work_dir: Path,
    *,
    jobs: int,
    again: bool,
    say: Callable[[str], object],
) -> dict[Run, Result]:
    file = out / "results.json"
    results = read_results(file)
    fingerprints = Fingerprints(study, {(run.set, run.arm) for run in runs})
    changed = fingerprints.changed(results)
    # tables are of all results, whichever runs were asked for
    if refused := [run for run in changed if not again or run not in runs]:
        raise changed_results(file, refused, "--only has to name these too" if again else "--again runs them again")
    old = {run: results.pop(run) for run in changed}

    def keep() -> None:
        """Write all results; one of other values stays until it is replaced."""
        write_results(file, {**old, **results}.values())

    missing = [run for run in runs if run not in results]
    if borrowed := borrow(missing, fingerprints, out):
        results.update(borrowed)
        keep()
        missing = [run for run in missing if run not in borrowed]
        say(f"{len(borrowed)} runs are those of other studies in {out.parent}")
    free = current_of(missing, fingerprints.courses, known={*results, *borrow(study.runs(), fingerprints, out)})
    for todo in (
        [run for run in missing if run not in free.values()],
        list(free.values()),  # of these, what the training of another did not give
    ):
        todo = [run for run in todo if run in missing and run not in results]
        orders = {}
        for run in todo:
            order = _order(study, run, fingerprints, work_dir)
            if run in free:
                other = free[run]
                order = replace(order, current_arm=other.arm, current_course=fingerprints.courses[other].own)
            orders[run] = order
        for number, (run, outcome) in enumerate(_outcomes(orders, jobs, again=again), start=1):
            place = f"({number} of {len(todo)})"
            if isinstance(outcome, str):
                say(f"{run} failed {place}:\n{outcome}")
                continue
            results.update(outcome)
            keep()
            for each, result in outcome.items():
                score = result.metrics.get(study.metric)
                said = f"{score:.3f}" if score is not None else f"is not there, but {', '.join(result.metrics)}"
                ending = place if each == run else "by the same training, without the mean"
                say(f"{each}: {study.metric} {said} {ending}")
    return results


def changed_results(file: Path, runs: Sequence[Run], remedy: str) -> InputError:
    """The error that says which results are of other values than the study's."""
    names = ", ".join(map(str, runs[:4])) + (f" and {len(runs) - 4} more" if len(runs) > 4 else "")
    return InputError(f"{file} has results of other values than the study's for {names}; {remedy}")


def current_of(runs: Iterable[Run], courses: Mapping[Run, Courses], known: Collection[Run]) -> dict[Run, Run]:
    """For runs that validate a mean of the weights: the study's run of the same training without it, if not known."""
    plain = {
        (run.set, run.seed, course.own): run
        for run, course in courses.items()
        if course.own == course.current and run not in known
    }
    found = {}
    for run in runs:
        own, current = courses[run]
        if own != current and (other := plain.pop((run.set, run.seed, current), None)):
            found[run] = other
    return found


def borrow(runs: Iterable[Run], fingerprints: Fingerprints, out: Path) -> dict[Run, Result]:
    """Results of runs of the same values, data and seed in the folders beside ``out``."""
    known: dict[tuple[str, str | None, int], Result] = {}
    for file in sorted(out.absolute().parent.glob("*/results.json")):
        if file.parent == out.absolute():
            continue
        try:
            others = read_results(file)
        except InputError:  # of something else
            continue
        known |= {(result.course, result.data, result.seed): result for result in others.values()}
    # data that nothing is known of is no other run's
    keys = {
        run: (fingerprints.courses[run].own, data, run.seed)
        for run in runs
        if (data := fingerprints.data[run.set, run.arm])
    }
    return {run: replace(known[key], set=run.set, arm=run.arm) for run, key in keys.items() if key in known}


@contextmanager
def _alone(*folders: Path) -> Iterator[None]:
    """No other process of this machine runs a study with one of the folders: either would lose the other's results."""
    with ExitStack() as held:
        for folder in dict.fromkeys(map(Path.resolve, folders)):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(folder / ".lock", timeout=0))
            except Timeout:
                raise InputError(f"another study is running in {folder}; wait for it, or name other folders") from None
        yield


def _outcomes(orders: Mapping[Run, Order], jobs: int, *, again: bool) -> Iterator[tuple[Run, dict[Run, Result] | str]]:
    with _pool(jobs) as (pool, slots, children):
        futures = {
            pool.submit(carried_out, order, jobs, slots, children, again=again): run for run, order in orders.items()
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def _pool(jobs: int) -> Iterator[tuple[ThreadPoolExecutor, SimpleQueue[int], Children]]:
    """Threads that wait for processes; where the study ends early, these are asked to, and no other begins."""
    slots: SimpleQueue[int] = SimpleQueue()
    children = Children()
    for slot in range(jobs):
        slots.put(slot)
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool, slots, children
    except BaseException:
        if number := children.end():
            print(f"the study ends; waiting for {counted(number, 'run')} to write a checkpoint", file=sys.stderr)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _order(study: Study, run: Run, fingerprints: Fingerprints, work_dir: Path) -> Order:
    folder, first = study.sets[run.set].data, study.first_of(run)
    return Order(
        set=run.set,
        arm=run.arm,
        seed=run.seed,
        course=fingerprints.courses[run].own,
        data=fingerprints.data[run.set, run.arm] or "",
        config=study.config_of(run),
        folder=str(folder) if folder else None,
        image_side=study.sets[run.set].image_side,
        options={**ECONOMY, **study.options_of(run)},
        shape=study.sets[run.set].shape,
        work_dir=str(work_dir.absolute() / str(run)),
        first_config=first.config if first else None,
        first_options={**ECONOMY, **first.options} if first else None,
    )
