"""Predictions of a set, as ``lors-det test --out`` wrote them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.fileio import load
from torch import Tensor

from lors_det.errors import InputError
from lors_det.plugin.config.data import build_set_of


def read_predictions(path: str | Path) -> list[dict[str, Any]]:
    """What a test predicted, a dictionary an image.

    Raises:
        InputError: if the file is missing or holds something else.
    """
    remedy = "lors-det test CONFIG CHECKPOINT --out predictions.pkl writes them"
    if not Path(path).is_file():
        raise InputError(f"{path} {'is a folder' if Path(path).is_dir() else 'does not exist'}; {remedy}")
    if Path(path).suffix.lower() not in (".pkl", ".pickle"):
        raise InputError(f"{path} has not the suffix of predictions, .pkl; {remedy}")
    try:
        predictions = load(path)
    except Exception as error:  # of a file that is no pickle, whatever its bytes happen to mean
        raise InputError(f"{path} holds no predictions ({type(error).__name__}: {error}); {remedy}") from error
    parts = {"img_path", "pred_instances"}
    if not isinstance(predictions, list) or not all(
        isinstance(each, dict) and parts <= each.keys() for each in predictions
    ):
        raise InputError(f"{path} is no list of predictions, one of each image; {remedy}")
    return predictions


def set_of(predictions: Sequence[dict[str, Any]], cfg: Config) -> BaseDataset:
    """The split that the predictions are of, see :func:`lors_det.plugin.config.data.build_set_of`."""
    with redirect_stdout(io.StringIO()):  # pycocotools tells of its index
        return build_set_of(cfg, [each["img_path"] for each in predictions])


def check_detections(predictions: Sequence[Mapping[str, Any]], dataset: BaseDataset) -> None:
    """Refuse what no detector found in a set.

    Raises:
        InputError: if predictions lack boxes, scores or labels, or are no tensors; if their numbers differ, a box is of
            what is no number, a score none from 0 to 1, or a label that of no class.
    """
    num_classes = len(dataset.metainfo["classes"])
    for number, each in enumerate(predictions):
        found, where = each["pred_instances"], each.get("img_path", f"image {number}")
        if missing := [name for name in ("bboxes", "scores", "labels") if name not in found]:
            raise InputError(f"{where}: predictions without {', '.join(missing)}; these are not what a detector found")
        parts = boxes, scores, labels = found["bboxes"], found["scores"], found["labels"]
        if not all(isinstance(part, Tensor) for part in parts):
            raise InputError(f"{where}: predictions that are no tensors; lors-det test --out writes such")
        if scores.ndim != 1 or labels.ndim != 1 or labels.is_floating_point():
            raise InputError(
                f"{where}: scores of shape {tuple(scores.shape)}, labels of {tuple(labels.shape)} and {labels.dtype}; "
                "each must be one for a box, and labels whole numbers; lors-det test --out writes such"
            )
        if boxes.shape != (len(scores), 4) or len(labels) != len(scores):
            raise InputError(
                f"{where}: {len(boxes)} boxes, {len(scores)} scores and {len(labels)} labels do not belong together; "
                "test this model on this set again"
            )
        if (
            not boxes.isfinite().all()
            or not ((scores >= 0) & (scores <= 1)).all()
            or ((labels < 0) | (labels >= num_classes)).any()
        ):
            raise InputError(
                f"{where}: boxes that are no numbers, scores that are none from 0 to 1, or labels beyond the "
                f"{num_classes} classes of the set; test this model on this set again"
            )
