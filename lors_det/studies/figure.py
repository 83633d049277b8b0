"""A picture of a study: what arms reach, against the parameters that they spend."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from lors_det.reports.figures import as_written, write_figure
from lors_det.studies.plan import Run, Study
from lors_det.studies.results import Result

_ROWS = 20
"""Of a column of the legend."""

_BESIDE_PT, _ABREAST_PT = 7, 35
"""From one arm to the next of the same size, and of all of these together."""

_STYLES = [(colour, mark) for mark in "os^D" for colour in ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C7")]


def draw_study(study: Study, results: Mapping[Run, Result], path: Path) -> None:
    """Draw the metric against the decoder's parameters, a panel for each set: means, and a small mark for each seed.

    Colours and marks are given to the arms that have results, in the study's order. A mean that lacks seeds is hollow.
    Arms of the same size stand side by side, so that none hides another.

    Args:
        study: whose arms are drawn.
        results: by run, one at least; sets and arms without any are left out.
        path: of the PNG file.
    """
    sets = [name for name in study.sets if any(run.set == name for run in results)]
    drawn = [arm for arm in study.arms if any(run.arm == arm for run in results)]
    columns = math.ceil(len(drawn) / _ROWS)
    names_inch = columns * (0.5 + 0.075 * max(map(len, drawn)))
    figure = Figure(figsize=(5.5 * len(sets) + max(2.5, names_inch), 4.2), layout="constrained")
    panels = figure.subplots(1, len(sets), squeeze=False)[0]
    handles = {}
    are_hollow = False
    for panel, name in zip(panels, sets):
        places = _places(study, results, name, drawn)
        for arm, (colour, mark) in zip(drawn, _STYLES * len(drawn)):
            runs = [Run(name, arm, seed) for seed in study.arms[arm].seeds]
            kept = [results[run] for run in runs if run in results]
            if not kept:
                continue
            values = [result.metrics[study.metric] for result in kept]
            size, shift_pt = places[arm]
            beside = panel.transData + ScaledTranslation(shift_pt / 72, 0, figure.dpi_scale_trans)
            panel.update_datalim([(size, value) for value in values])  # which marks beside them do not
            x = [size] * len(values)
            panel.plot(x, values, mark, color=colour, alpha=0.5, markersize=3, transform=beside)
            is_hollow = len(kept) < len(runs)
            are_hollow |= is_hollow
            (drawn_mean,) = panel.plot(
                size,
                statistics.mean(values),
                mark,
                color=colour,
                markersize=8,
                fillstyle="none" if is_hollow else "full",
                transform=beside,
            )
            if arm not in handles or not is_hollow:
                handles[arm] = drawn_mean
        as_written([panel.set_title(name)])
        panel.set_xlabel("parameters of the decoder, millions; those of one size side by side")
        as_written([panel.set_ylabel(study.metric)])
        panel.margins(0.08)
        panel.autoscale_view()
        panel.grid(alpha=0.3)
    if are_hollow:
        panels[-1].annotate(
            "hollow: seeds are missing", (1, 0), (0, 4), "axes fraction", "offset points", ha="right", fontsize="small"
        )
    shown = [handles[arm] for arm in drawn]
    as_written(figure.legend(shown, drawn, loc="outside right center", fontsize="small", ncols=columns).get_texts())
    write_figure(figure, path, dpi=120)


def _places(
    study: Study, results: Mapping[Run, Result], name: str, arms: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Millions of parameters of each arm of a set, and by how many points of the page its marks stand beside that."""
    sizes = {
        arm: next(
            results[run].parameters["decoder"] / 1e6
            for run in (Run(name, arm, seed) for seed in study.arms[arm].seeds)
            if run in results
        )
        for arm in arms
        if any(Run(name, arm, seed) in results for seed in study.arms[arm].seeds)
    }
    alike: dict[float, list[str]] = defaultdict(list)
    for arm, size in sizes.items():
        alike[round(size, 2)].append(arm)
    return {
        arm: (sizes[arm], min(_BESIDE_PT, _ABREAST_PT / len(group)) * (number - (len(group) - 1) / 2))
        for group in alike.values()
        for number, arm in enumerate(group)
    }
