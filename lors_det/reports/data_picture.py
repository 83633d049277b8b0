"""A data set in one picture: classes, box sizes, aspect ratios, boxes per image, image sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from lors_det.data.doctor import Case
from lors_det.data.doctor.table import Floats, Table
from lors_det.reports.figures import as_written, write_figure

COCO_BOUNDS_PX = (32, 96)
"""Square roots of the areas between small, medium and large boxes, as COCO's AP counts them."""

_COLOURS = {"train": "#3b6ea5", "val": "#e08a2c", "test": "#5b9a68"}
_MOST_CLASSES = 30
_NAMED_SIZES = 4


def data_picture(case: Case, path: str | Path) -> None:
    """Write the picture of a case as PNG: five histograms, the splits beside each other, each as shares of its own.

    Raises:
        InputError: if the path is a folder.
    """
    classes = _class_order(case)
    figure = Figure(figsize=(15, 8.6), layout="constrained")
    axes = figure.subplot_mosaic([["classes", "sizes", "aspects"], ["classes", "counts", "images"]])
    _draw_classes(axes["classes"], case, classes)
    _draw_sizes(axes["sizes"], case)
    _draw_aspects(axes["aspects"], case)
    _draw_counts(axes["counts"], case)
    _draw_images(axes["images"], case)
    parts = [f"{t.name}: {len(t.images):,} images, {len(t.annotations):,} boxes" for t in case.tables]
    as_written([figure.suptitle(f"{case.folder.root.name}   ({';  '.join(parts)})", fontsize=13)])
    for name, each in axes.items():
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.25, axis="both" if name == "images" else "x" if name == "classes" else "y")
        each.set_axisbelow(True)
    axes["classes"].legend(frameon=False, loc="lower right")
    write_figure(figure, path, dpi=110)


def _class_order(case: Case) -> list[str]:
    """Classes with the most boxes first, in all splits together."""
    total = {name: 0 for table in case.tables for name in table.class_names}
    for table in case.tables:
        for name, count in zip(table.class_names, table.class_counts):
            total[name] += int(count)
    return sorted(total, key=lambda name: -total[name])


def _shapes(table: Table) -> Floats:
    """(n, 2) width and height of the boxes that have an area."""
    sides = table.boxes[table.usable & ~table.crowd, 2:]
    return np.asarray(sides[(sides > 0).all(1)])


def _draw_classes(axes: Axes, case: Case, classes: list[str]) -> None:
    shown = classes[:_MOST_CLASSES]
    height = 0.8 / max(len(case.tables), 1)
    for place, table in enumerate(case.tables):
        counts = dict(zip(table.class_names, table.class_counts))
        total = max(int(table.class_counts.sum()), 1)
        shares = [counts.get(name, 0) / total for name in shown]
        rows = np.arange(len(shown)) + (place - (len(case.tables) - 1) / 2) * height
        axes.barh(rows, shares, height * 0.92, color=_COLOURS[table.name], label=table.name)
        if len(shown) <= 12:
            for row, name, share in zip(rows, shown, shares):
                axes.annotate(
                    f"{counts.get(name, 0):,}", (share, row), (3, 0), textcoords="offset points", va="center", size=8
                )
    axes.set_yticks(range(len(shown)), [name if len(name) < 24 else f"{name[:21]}..." for name in shown])
    as_written(axes.get_yticklabels())
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    more = f", the {_MOST_CLASSES} commonest of {len(classes)}" if len(classes) > _MOST_CLASSES else ""
    axes.set(title=f"Classes{more}", xlabel="share of the split's boxes")


def _draw_sizes(axes: Axes, case: Case) -> None:
    values = {table.name: np.sqrt(_shapes(table).prod(1)) for table in case.tables}
    _steps(axes, values, _log_bins(values))
    low, high = axes.get_xlim()
    # the words stand in the middle of what is seen of each range
    edges = [low, *COCO_BOUNDS_PX, high]
    for bound in COCO_BOUNDS_PX:
        axes.axvline(bound, color="0.35", linestyle="--", linewidth=1)
    top = axes.get_ylim()[1] * 1.1
    axes.set_ylim(0, top)
    everything = np.concatenate([*values.values(), np.zeros(0)])
    for name, start, end in zip(("small", "medium", "large"), edges, edges[1:]):
        inner = max(start, low), min(end, high)
        if inner[1] > inner[0] * 1.3:
            bottom = 0 if name == "small" else start
            within = (everything >= bottom) & (everything < (np.inf if name == "large" else end))
            text = f"{name}\n{within.mean():.0%}" if len(everything) else name
            axes.text(np.sqrt(inner[0] * inner[1]), top, text, ha="center", va="top", size=9, color="0.3")
    axes.set(title="Box sizes", xlabel="square root of the area, pixels of the image")


def _draw_aspects(axes: Axes, case: Case) -> None:
    shapes = {table.name: _shapes(table) for table in case.tables}
    values = {name: sides[:, 0] / sides[:, 1] for name, sides in shapes.items()}
    _steps(axes, values, _log_bins(values))
    axes.axvline(1, color="0.35", linestyle="--", linewidth=1)
    axes.set(title="Aspect ratios of boxes", xlabel="width / height")


def _draw_counts(axes: Axes, case: Case) -> None:
    values = {
        table.name: np.bincount(table.image_of[table.image_of >= 0], minlength=len(table.images))
        for table in case.tables
    }
    most = max((int(each.max()) for each in values.values() if len(each)), default=1)
    step = max(1, int(np.ceil((most + 1) / 40)))
    _steps(axes, values, np.arange(-0.5, most + step + 0.5, step))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title="Boxes per image", xlabel="boxes", ylabel="share of the split's images")
    axes.set_xlim(left=-0.5)


def _draw_images(axes: Axes, case: Case) -> None:
    """All splits together, a disc for each size, as large as its share."""
    sizes = np.concatenate([table.sizes[np.isfinite(table.sizes).all(1)] for table in case.tables])
    different, counts = np.unique(sizes, axis=0, return_counts=True)
    largest = 1.12 * float(sizes.max(initial=1.0))
    axes.axline((0, 0), slope=1, color="0.35", linestyle="--", linewidth=1)
    axes.scatter(
        different[:, 0], different[:, 1], 10 + 500 * counts / max(counts.sum(), 1), color="0.3", alpha=0.5, linewidths=0
    )
    for index in np.argsort(-counts)[:_NAMED_SIZES] if len(different) <= 4 * _NAMED_SIZES else ():
        width, height = different[index]
        text = f"{width:g} x {height:g}\n{counts[index]:,} images"
        axes.annotate(text, (width, height), (0, -13), textcoords="offset points", ha="center", va="top", size=8)
    axes.set(title="Image sizes", xlabel="width, pixels", ylabel="height, pixels")
    axes.set(xlim=(0, largest), ylim=(0, largest))


def _log_bins(values: dict[str, Floats]) -> Floats:
    """Some thirty edges at equal ratios around the values, less the outermost thousandth."""
    everything = np.concatenate([*values.values(), np.zeros(0)])
    if not len(everything):
        return np.array([1.0, 2.0])
    low, high = np.quantile(everything, (0.0005, 0.9995))
    first, last = np.floor(2 * np.log2(low)) / 2, np.ceil(2 * np.log2(high) + 0.01) / 2
    per_half_octave = round(np.clip(15 / (last - first), 1, 4))
    return np.asarray(2 ** np.linspace(first, last, round(2 * (last - first)) * per_half_octave + 1))


def _steps(axes: Axes, values: dict[str, Any], edges: Floats) -> None:
    """Outlined histograms of the splits over each other; what lies beyond the edges is in the outermost bins."""
    for name, each in values.items():
        if len(each):
            inside = np.clip(each, edges[0], np.nextafter(edges[-1], 0))
            heights = np.histogram(inside, edges)[0] / len(each)
            axes.stairs(heights, edges, fill=True, alpha=0.18, color=_COLOURS[name])
            axes.stairs(heights, edges, linewidth=1.6, color=_COLOURS[name])
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)
    if edges[0] > 0:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}")
        )
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylabel("share of the split's boxes")
