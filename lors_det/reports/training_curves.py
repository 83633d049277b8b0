"""Curves of a run: the loss of each stage, and AP."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from lors_det.reports.figures import write_figure
from lors_det.reports.scalars import read_scalars


def training_curves(work_dir: str | Path, path: str | Path) -> None:
    """Write a plot of the losses and the AP of a run over its iterations.

    Args:
        work_dir: folder of a run; a resumed run's logs are joined.
        path: PNG file to write.

    Raises:
        InputError: if the folder holds no log.
    """
    train, val = read_scalars(work_dir)
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    iterations = [entry["iter"] for entry in train]
    stages = sorted({int(number[1]) for name in train[0] if (number := re.match(r"s(\d+)\.loss_", name))})
    parts = {f"s{stage}": f"stage {stage}" for stage in stages}
    if any(name.startswith("selection.loss_") for name in train[0]):
        parts["selection"] = "selection of queries"
    shades = [*colormaps["viridis"](np.linspace(0.05, 0.85, max(len(stages), 1))), "tab:red"]
    for (part, label), shade in zip(parts.items(), shades):
        losses = [sum(value for name, value in entry.items() if name.startswith(f"{part}.loss_")) for entry in train]
        left.plot(iterations, losses, color=shade, label=label)
    if stages and any(".dn_loss_" in name for name in train[0]):
        losses = [sum(value for name, value in entry.items() if ".dn_loss_" in name) / len(stages) for entry in train]
        left.plot(iterations, losses, color="tab:orange", linestyle="--", label="denoising, mean of the stages")
    title = "Training loss of each decoder stage"
    if not left.lines:  # of a detector whose losses have other names
        left.plot(iterations, [entry["loss"] for entry in train], label="all together")
        title = "Training loss"
    left.set(xlabel="iteration", ylabel="loss (class + L1 + GIoU)" if stages else "loss", title=title, yscale="log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    left.yaxis.set_major_formatter(ScalarFormatter())
    left.yaxis.set_minor_formatter(NullFormatter())
    left.legend(edgecolor="none", framealpha=0.85)  # in a figure full of lines it covers some

    # the last that is logged of each epoch; a training by iterations tells of none, and its validations tell theirs
    iteration_of = {entry["epoch"]: entry["iter"] for entry in train if "epoch" in entry}
    for name, label in (("bbox_mAP_50", "AP50"), ("bbox_mAP", "AP"), ("bbox_mAP_75", "AP75")):
        logged = [entry for entry in val if f"coco/{name}" in entry]  # an evaluator may be asked for others
        found = [(iteration_of.get(entry["step"], entry["step"]), entry[f"coco/{name}"]) for entry in logged]
        if found:
            right.plot(*zip(*found), marker="o", markersize=4, label=f"{label}  {found[-1][1]:.3f}")
    right.set(xlabel="iteration", ylabel="COCO AP", title="Validation", ylim=(0, 1))
    if not val:
        right.text(0.5, 0.5, "no validation was logged", ha="center", va="center", transform=right.transAxes)
    elif right.lines:
        right.legend(edgecolor="none", framealpha=0.85, title="at the end", loc="upper left")
    ends = [*left.get_xlim(), *(right.get_xlim() if right.lines else ())]
    for axes in (left, right):
        axes.set_xlim(min(ends), max(ends))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    write_figure(figure, path, dpi=130)
