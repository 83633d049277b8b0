"""What a study found: its arms in numbers, and paired tests between them, as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from scipy.stats import ttest_rel

from lors_det.errors import InputError
from lors_det.reports.comparison import summary
from lors_det.studies.plan import Run, Study
from lors_det.studies.results import Result

_NONE = -1
"""What COCO's tools give where there is nothing to find."""


class Difference(NamedTuple):
    """One arm against another, seed by seed.

    Attributes:
        first: arm of the pair.
        second: the other.
        set: of the data.
        pairs: metric of the first less that of the second, for each seed that both have.
        low: of the mean's 95 % confidence interval; None where there are fewer than two pairs, or all
            differences are equal, of which a t-test says nothing.
        high: likewise.
        p: of a two-sided paired t-test; None as above.
        holm: p corrected for the number of tests that the study plans, made or not, by Holm's method.
    """

    first: str
    second: str
    set: str
    pairs: tuple[float, ...]
    low: float | None
    high: float | None
    p: float | None
    holm: float | None


def differences(study: Study, results: Mapping[Run, Result]) -> list[Difference]:
    """All that a study compares, for each set."""
    found = []
    for better, than in study.compare:
        by_set = {name: _pairs(study, results, name, better, than) for name in study.sets}
        for name, pairs in by_set.items():
            low = high = p = None
            if len(pairs) > 1 and len({round(a - b, 12) for a, b in pairs}) > 1:
                test = ttest_rel(*zip(*pairs))
                p = float(test.pvalue)
                low, high = map(float, test.confidence_interval())
            if pairs:
                gains = tuple(a - b for a, b in pairs)
                found.append(Difference(better, than, name, gains, low, high, p, None))
    # for all that are planned, so that a result's p does not rise with what is run later
    corrected = holm([each.p for each in found if each.p is not None], study.tests)
    return [each if each.p is None else each._replace(holm=next(corrected)) for each in found]


def holm(values: Sequence[float], tests: int) -> Iterator[float]:
    """p-values corrected so that the chance of any false finding among so many tests is what each says (Holm, 1979)."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    corrected, most = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (tests - rank) * values[place]))
        corrected[place] = most
    return iter(corrected)


def _pairs(study: Study, results: Mapping[Run, Result], name: str, better: str, than: str) -> list[tuple[float, float]]:
    pairs = []
    for seed in study.arms[better].seeds:
        if seed not in study.arms[than].seeds:  # of what was asked for once, and is no more
            continue
        both = [results.get(Run(name, arm, seed)) for arm in (better, than)]
        if all(both):
            pairs.append(tuple(result.metrics[study.metric] for result in both if result))
    return pairs  # type: ignore[return-value]


def report(study: Study, results: Mapping[Run, Result]) -> str:
    """The study in Markdown: question, answer, a table of each set, and the tests.

    Raises:
        InputError: if a run has no such metric, or no value of it.
    """
    planned = set(study.runs())
    results = {run: result for run, result in results.items() if run in planned}
    for run, result in results.items():
        if study.metric not in result.metrics:
            raise InputError(f"{study.path}: metric {study.metric} is none of {run}, {', '.join(result.metrics)}")
        value = result.metrics[study.metric]
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value == _NONE:
            raise InputError(
                f"{study.path}: metric {study.metric} of {run} is {value}, no figure: -1 says that the validation set "
                "has no such boxes; choose another metric, or mend the results"
            )
    parts = [f"**Question.** {study.question}", f"**Answer.** {study.answer or 'None yet.'}"]
    if befores := [f"{name}: {arm.first.config}" for name, arm in study.arms.items() if arm.first]:
        parts.append(
            "Trained before, from which the arm's own training starts; time is of that, memory the most of both: "
            f"{'; '.join(befores)}."
        )
    for name in (name for name in study.sets if any(run.set == name for run in results)):
        parts.append(f"{study.metric} of the last validation on {name}:\n\n{_table(_arms(study, results, name))}")
    if found := differences(study, results):
        parts.append(
            "Differences, with the 95 % confidence interval of a paired t-test over the seeds; p is two-sided, and "
            f"Holm's corrects it for all {study.tests} that are planned:\n\n{_table(_tests(found))}"
        )
    kept = [results[run] for run in study.runs() if run in results]
    for title, values in {
        "commit": [each for result in kept for each in result.commit.split("; ")],  # a run that went on has several
        "versions": [", ".join(f"{key} {value}" for key, value in sorted(result.versions.items())) for result in kept],
    }.items():
        if values:
            parts.append(f"{title}: {'; '.join(dict.fromkeys(value or 'unknown' for value in values))}")
    missing = [run for run in study.runs() if run not in results]
    if missing:
        is_or_are = "is" if len(missing) == 1 else "are"
        parts.append(f"{len(missing)} of {len(list(study.runs()))} runs {is_or_are} missing.")
    return "\n\n".join(parts) + "\n"


def _table(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _arms(study: Study, results: Mapping[Run, Result], name: str) -> Iterator[list[str]]:
    yield ["arm", "decoder", "decoder GMACs", "model GMACs", "s/step", "MiB", "mean ± deviation", "seeds"]
    yield ["---"] + ["---:"] * 7
    for arm, planned in study.arms.items():
        found = [results.get(Run(name, arm, seed)) for seed in planned.seeds]
        kept = [result for result in found if result is not None]
        if not kept:
            continue
        first, values = kept[0], [result.metrics[study.metric] for result in kept]
        own = [result for result in kept if not result.trained_as]  # time and memory of others are another arm's
        yield [
            arm,
            f"{first.parameters['decoder']:,}",
            *(f"{first.macs[part] / 1e9:.3f}" for part in ("decoder", "total")),
            f"{statistics.median(result.seconds_per_step for result in own):.3f}" if own else "",
            f"{max(result.memory_mib for result in own):.0f}" if own else "",
            summary(values),
            # in the place of its seed, so that arms are compared seed by seed
            ", ".join("-" if result is None else f"{result.metrics[study.metric]:.3f}" for result in found),
        ]


def _tests(found: Sequence[Difference]) -> Iterator[list[str]]:
    yield ["difference", "set", "mean", "95 %", "pairs", "p", "Holm"]
    yield ["---", "---"] + ["---:"] * 5
    for each in found:
        interval = "all are equal" if len(each.pairs) > 1 else ""
        if each.low is not None and each.high is not None:
            interval = f"{each.low:+.3f} to {each.high:+.3f}"
        yield [
            f"{each.first} less {each.second}",
            each.set,
            f"{statistics.mean(each.pairs):+.3f}",
            interval,
            str(len(each.pairs)),
            *map(_share, (each.p, each.holm)),
        ]


def _share(p: float | None) -> str:
    if p is None:
        return ""
    return f"{p:.3f}" if p >= 0.0005 else "<.001"
