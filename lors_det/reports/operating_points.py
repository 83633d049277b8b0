"""What a detector finds, and how much of it is right, at each threshold of the score."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table
from rich.text import Text

from lors_det.reports.figures import as_written, write_figure

THRESHOLDS = np.arange(1, 100) / 100
"""Those that are tried."""

MAX_CURVES = 10
"""Classes that are drawn, those of most objects."""


class OperatingPoint(NamedTuple):
    """What a threshold makes of a class.

    Attributes:
        threshold: detections below it are left out.
        precision: part of the detections that are right; NaN where there are none.
        recall: part of the objects that are found; NaN where there are none.
        f1: their harmonic mean, 2 TP / (TP + FP + objects); NaN where there are neither.
    """

    threshold: float
    precision: float
    recall: float
    f1: float


class Matches(NamedTuple):
    """Detections of a class, by whether they are right.

    Attributes:
        num_objects: of the ground truth.
        right: scores of the detections that match an object.
        wrong: of those that match none.
    """

    num_objects: int
    right: NDArray[np.float64]
    wrong: NDArray[np.float64]

    def at(self, threshold: float) -> OperatingPoint:
        """What is found with this threshold."""
        # in the type of the scores, as infer compares them: .7 of a detector is less than .7 of Python
        least = np.float32(threshold)
        right, wrong = ((scores.astype(np.float32) >= least).sum().item() for scores in (self.right, self.wrong))
        parts = (right, right + wrong), (right, self.num_objects), (2 * right, right + wrong + self.num_objects)
        return OperatingPoint(threshold, *(part / whole if whole else float("nan") for part, whole in parts))

    def best(self) -> OperatingPoint:
        """The threshold of greatest F1; of several, the one in their middle."""
        points = [self.at(threshold) for threshold in THRESHOLDS.tolist()]
        greatest = max(point.f1 for point in points)
        alike = [point for point in points if point.f1 == greatest] or points
        return alike[len(alike) // 2]


def all_classes(matches: Mapping[str, Matches]) -> Matches:
    """Those of all classes together, each object and each detection counting alike."""
    number = sum(each.num_objects for each in matches.values())
    right, wrong = (np.concatenate([each[place] for each in matches.values()]) for place in (1, 2))
    return Matches(number, right, wrong)


def table_of(matches: Mapping[str, Matches], *, iou: float, threshold: float | None = None) -> Table:
    """A line a class, and one of all together.

    Args:
        matches: of each class.
        iou: of a match.
        threshold: of all classes; by default each class's best, and beside it the best of all together.
    """
    together = all_classes(matches)
    shared = together.best().threshold if threshold is None else threshold
    measures = ("prec.", "recall", "F1")
    table = Table(caption=f"a detection is right with an IoU of {iou:g} or more", caption_justify="left")
    table.add_column("class", overflow="fold")
    table.add_column("objects", justify="right", no_wrap=True, min_width=len("objects"))
    for heading in (
        *(["own\nbest", *measures] if threshold is None else []),
        *(f"{each}\n{shared:g}" for each in measures),
    ):
        # of a narrow terminal the classes' names are folded, and no figure is cut
        table.add_column(heading, justify="right", no_wrap=True, min_width=max(map(len, heading.split("\n"))))
    for name, each in (*matches.items(), ("all", together)):
        cells = [f"{each.num_objects:,}"]
        if threshold is None:
            best = each.best()
            cells += [f"{best.threshold:.2f}" if best.f1 > 0 else "-", *_cells(best)]
        table.add_row(Text(name), *cells, *_cells(each.at(shared)), end_section=name == [*matches][-1])
    return table


def _cells(point: OperatingPoint) -> list[str]:
    return ["-" if isnan(part) else f"{part:.3f}" for part in (point.precision, point.recall, point.f1)]


def curves(matches: Mapping[str, Matches], path: str | Path, threshold: float | None = None) -> None:
    """Write a picture: precision, recall and F1 of all together over the threshold, and precision over recall by class.

    Args:
        matches: of each class.
        path: PNG file to write.
        threshold: that is marked; the best of all together by default.
    """
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    together = all_classes(matches)
    points = np.array([together.at(each) for each in THRESHOLDS.tolist()])
    for column, label in ((1, "precision"), (2, "recall"), (3, "F1")):
        left.plot(THRESHOLDS, points[:, column], label=label)
    chosen = together.best() if threshold is None else together.at(threshold)
    left.axvline(chosen.threshold, color="black", linewidth=0.8, linestyle=":")
    left.set(
        xlabel="threshold of the score",
        title=f"All classes together: F1 {chosen.f1:.3f} at {chosen.threshold:g}",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    left.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)  # beside the curves
    drawn = sorted((name for name in matches if matches[name].num_objects), key=lambda name: -matches[name].num_objects)
    for name in drawn[:MAX_CURVES]:
        points = np.array([matches[name].at(each) for each in THRESHOLDS.tolist()])
        best = matches[name].best()
        label = name if best.f1 > 0 else f"{name} (none found)"
        (line,) = right.plot(
            points[:, 2], points[:, 1], linewidth=1.2, label=f" {label}" if label.startswith("_") else label
        )
        right.plot(best.recall, best.precision, "o", markersize=5, color=line.get_color())
    rest = f" ({MAX_CURVES} of {len(drawn)})" if len(drawn) > MAX_CURVES else ""
    right.set(
        xlabel="recall",
        ylabel="precision",
        title=f"Classes{rest}, each with its best F1",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    if drawn:
        as_written(right.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5)).get_texts())
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    write_figure(figure, path, dpi=130)
