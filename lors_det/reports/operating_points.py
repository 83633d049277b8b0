"""What a detector finds, and how much of it is right, at each threshold of the score."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from mmengine.dataset import BaseDataset
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.table import Table
from rich.text import Text

from lors_det.data.drawn_boxes import font_file
from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.plugin.dataset import read_json
from lors_det.plugin.unwrapped import datasets_in
from lors_det.reports.predictions import check_detections

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


def matches_of(dataset: BaseDataset, predictions: Sequence[Mapping[str, Any]], *, iou: float) -> dict[str, Matches]:
    """Match detections with objects as COCO's evaluation does, each class by itself; crowds count neither way.

    Objects are those of the annotation file, as in ``lors-det test``, also such as training passes over.

    Detections take turns by their score, so that what a lower threshold adds changes no match of what was there.

    Args:
        dataset: a detection dataset in test mode.
        predictions: of its images, in their order.
        iou: that a match needs, 0..1.

    Returns:
        Of each class, in the order of labels.

    Raises:
        InputError: if predictions lack boxes, scores or labels, a score is no number, or a label that of no class; or
            if two classes have one name.
    """
    names = dataset.metainfo["classes"]
    if len(set(names)) < len(names):
        raise InputError(f"the set's classes are {', '.join(names)}, two of one name; give each its own")
    check_detections(predictions, dataset)
    of_images = (objects for part in datasets_in(dataset) for objects in _objects(part))
    truth = [{"image_id": number, **each} for number, objects in enumerate(of_images) for each in objects]
    found: list[dict[str, Any]] = []
    for number, each in enumerate(predictions):
        for box, score, label in zip(
            *(each["pred_instances"][name].tolist() for name in ("bboxes", "scores", "labels"))
        ):
            found.append({"image_id": number, "category_id": label, **_box(box), "score": score})
    categories = [{"id": label, "name": name} for label, name in enumerate(names)]
    with redirect_stdout(io.StringIO()):  # pycocotools tells of its progress
        evaluation = COCOeval(*(_as_coco(len(predictions), categories, boxes) for boxes in (truth, found)), "bbox")
        evaluation.params.iouThrs = np.array([iou])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, float("inf")]], ["all"]
        evaluation.params.maxDets = [len(found)]
        evaluation.evaluate()
    parts = [part for part in evaluation.evalImgs if part is not None]
    return {name: _joined([part for part in parts if part["category_id"] == label]) for label, name in enumerate(names)}


def _objects(dataset: BaseDataset) -> Iterator[list[dict[str, Any]]]:
    """Of each image, the objects of the annotation file as COCO's evaluation takes them; else what the set gives."""
    if not hasattr(dataset, "cat2label"):
        for number in range(len(dataset)):
            yield [
                {
                    **_box(instance["bbox"]),
                    "category_id": instance["bbox_label"],
                    "iscrowd": int(instance["ignore_flag"]),
                }
                for instance in dataset.get_data_info(number)["instances"]
            ]
        return
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for entry in read_json(dataset.ann_file)["annotations"]:
        if entry["category_id"] in dataset.cat2label:
            kept = {"bbox": entry["bbox"], "area": entry["bbox"][2] * entry["bbox"][3]}
            kept |= {"category_id": dataset.cat2label[entry["category_id"]], "iscrowd": int(entry.get("iscrowd", 0))}
            by_image.setdefault(entry["image_id"], []).append(kept)
    for number in range(len(dataset)):
        yield by_image.get(dataset.get_data_info(number)["img_id"], [])


def _box(corners: Sequence[float]) -> dict[str, Any]:
    left, top, right, bottom = corners
    return {"bbox": [left, top, right - left, bottom - top], "area": (right - left) * (bottom - top)}


def _as_coco(num_images: int, categories: list[dict[str, Any]], boxes: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in range(num_images)],
        "categories": categories,
        "annotations": [{**box, "id": number} for number, box in enumerate(boxes, start=1)],
    }
    coco.createIndex()
    return coco


def _joined(parts: Sequence[Mapping[str, Any]]) -> Matches:
    """A class's matches in all images, of what COCO's evaluation says of each."""
    scores = np.concatenate([np.zeros(0), *(part["dtScores"] for part in parts)])
    right = np.concatenate([np.zeros(0, bool), *(part["dtMatches"][0] > 0 for part in parts)])
    counts = ~np.concatenate([np.zeros(0, bool), *(part["dtIgnore"][0].astype(bool) for part in parts)])
    num_objects = sum(int((part["gtIgnore"] == 0).sum()) for part in parts)
    return Matches(num_objects, scores[right & counts], scores[~right & counts])


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
    table.add_column("objects", justify="right")
    for heading in (
        *(["own\nbest", *measures] if threshold is None else []),
        *(f"{each}\n{shared:g}" for each in measures),
    ):
        table.add_column(heading, justify="right")
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
    left.legend(frameon=False)
    drawn = sorted((name for name in matches if matches[name].num_objects), key=lambda name: -matches[name].num_objects)
    for name in drawn[:MAX_CURVES]:
        points = np.array([matches[name].at(each) for each in THRESHOLDS.tolist()])
        (line,) = right.plot(
            points[:, 2], points[:, 1], linewidth=1.2, label=f" {name}" if name.startswith("_") else name
        )
        best = matches[name].best()
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
        font = FontProperties(fname=font_file("".join(drawn)))
        for text in right.legend(frameon=False, loc="lower left", prop=font).get_texts():
            text.set_parse_math(False)  # a $ in a name is one
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    write_whole(Path(path), lambda file: figure.savefig(file, format="png", dpi=130))
