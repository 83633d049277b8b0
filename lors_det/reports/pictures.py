"""Pictures of a run: a sheet of detections beside their ground truth, and curves of loss and AP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from mmengine.dataset import BaseDataset
from numpy.typing import NDArray

from lors_det.data.drawn_boxes import draw_boxes
from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.reports.predictions import check_detections
from lors_det.reports.scalars import read_scalars

CELL_WIDTH_PX = 340
"""Width of one image on the sheet; small images are enlarged to it so that labels can be read."""
MAX_HEIGHT_PX = 3 * CELL_WIDTH_PX
"""Of a tall image, which would pad all others to its height."""


def detection_sheet(
    dataset: BaseDataset,
    predictions: Sequence[dict[str, Any]],
    path: str | Path,
    *,
    num_images: int = 12,
    num_columns: int = 3,
    score_threshold: float = 0.3,
) -> None:
    """Write a sheet of image pairs, ground truth on the left and detections on the right.

    Args:
        dataset: a detection dataset in test mode.
        predictions: what ``lors-det test --out`` wrote, one dict an image.
        path: PNG file to write.
        num_images: pairs, spread evenly over the set.
        num_columns: pairs in a row.
        score_threshold: detections below it are not drawn.

    Raises:
        InputError: if the predictions are of other images than the dataset's, or no detections of its classes.
    """
    if len(predictions) != len(dataset):
        raise InputError(
            f"{len(predictions)} predictions came with a set of {len(dataset)} images; they must be of one set"
        )
    check_detections(predictions, dataset)
    classes = dataset.metainfo["classes"]
    chosen = np.linspace(0, len(dataset) - 1, min(num_images, len(dataset))).round().astype(int)
    pairs: list[NDArray[Any]] = [
        _pair(dataset.get_data_info(int(i)), predictions[i], classes=classes, threshold=score_threshold) for i in chosen
    ]
    height = max(pair.shape[0] for pair in pairs)
    pairs = [
        cv2.copyMakeBorder(p, 6, 6 + height - len(p), 6, 6, cv2.BORDER_CONSTANT, value=(255, 255, 255)) for p in pairs
    ]
    pairs += [np.full_like(pairs[0], 255)] * (-len(pairs) % num_columns)
    rows = [np.hstack(pairs[start : start + num_columns]) for start in range(0, len(pairs), num_columns)]
    sheet = np.vstack([_header(rows[0].shape[1], num_columns, score_threshold), *rows])
    _write(sheet, path)


def _pair(
    info: dict[str, Any],
    prediction: dict[str, Any],
    *,
    classes: Sequence[str],
    threshold: float,
) -> NDArray[np.uint8]:
    """Ground truth and detections of an image side by side, RGB."""
    if Path(prediction["img_path"]).name != Path(info["img_path"]).name:
        raise InputError(f"the predictions are of {prediction['img_path']} where the set has {info['img_path']}")
    image = cv2.imread(info["img_path"])
    if image is None:
        raise InputError(f"image {info['img_path']} cannot be read")
    scale = min(CELL_WIDTH_PX / image.shape[1], MAX_HEIGHT_PX / image.shape[0])
    size = (max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[0])))
    image = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), size, interpolation=cv2.INTER_CUBIC)
    image = cv2.copyMakeBorder(
        image, 0, 0, 0, CELL_WIDTH_PX - image.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    image = cast(NDArray[np.uint8], image)  # what imread gives, of which OpenCV's annotations say less

    truth = [instance for instance in info["instances"] if not instance["ignore_flag"]]
    labels = np.array([instance["bbox_label"] for instance in truth], int)
    boxes = np.array([instance["bbox"] for instance in truth], float).reshape(-1, 4)
    left = draw_boxes(image, boxes * scale, labels=labels, texts=[classes[label] for label in labels])

    found = prediction["pred_instances"]
    kept = found["scores"] >= threshold
    order = found["scores"][kept].argsort(descending=True)
    boxes, labels, scores = (found[name][kept][order].numpy() for name in ("bboxes", "labels", "scores"))
    texts = [f"{classes[label]} {score:.2f}" for label, score in zip(labels, scores)]
    right = draw_boxes(image, boxes * scale, labels=labels, texts=texts)
    return np.hstack([left, np.full((len(left), 4, 3), 255, np.uint8), right])


def _header(width: int, num_columns: int, threshold: float) -> NDArray[np.uint8]:
    header = np.full((44, width, 3), 255, np.uint8)
    cell = width // num_columns
    for column in range(num_columns):
        for half, text in enumerate(("ground truth", f"detections, score {threshold:g} or more")):
            place = (column * cell + half * cell // 2 + 8, 30)
            cv2.putText(header, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (40, 40, 40), 1, cv2.LINE_AA)
    return header


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
    if any(".dn_loss_" in name for name in train[0]):
        losses = [sum(value for name, value in entry.items() if ".dn_loss_" in name) / len(stages) for entry in train]
        left.plot(iterations, losses, color="tab:orange", linestyle="--", label="denoising, mean of the stages")
    left.set(
        xlabel="iteration", ylabel="loss (class + L1 + GIoU)", title="Training loss of each decoder stage", yscale="log"
    )
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    left.yaxis.set_major_formatter(ScalarFormatter())
    left.yaxis.set_minor_formatter(NullFormatter())
    left.legend(edgecolor="none", framealpha=0.85)  # in a figure full of lines it covers some

    # the last of each epoch; a training by iterations tells of none, and its validations tell theirs
    iteration_of = {entry["epoch"]: entry["iter"] for entry in train if "epoch" in entry}
    for name, label in (("bbox_mAP_50", "AP50"), ("bbox_mAP", "AP"), ("bbox_mAP_75", "AP75")):
        found = [(iteration_of.get(entry["step"], entry["step"]), entry[f"coco/{name}"]) for entry in val]
        if found:
            right.plot(*zip(*found), marker="o", markersize=4, label=f"{label}  {found[-1][1]:.3f}")
    right.set(xlabel="iteration", ylabel="COCO AP", title="Validation", ylim=(0, 1), xlim=left.get_xlim())
    if not val:
        right.text(0.5, 0.5, "no validation was logged", ha="center", va="center", transform=right.transAxes)
    else:
        right.legend(edgecolor="none", framealpha=0.85, title="at the end", loc="upper left")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    write_whole(Path(path), lambda file: figure.savefig(file, format="png", dpi=130))


def _write(image: NDArray[np.uint8], path: str | Path) -> None:
    """RGB image to a PNG file."""
    _, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    write_whole(Path(path), lambda file: file.write(content.tobytes()))
