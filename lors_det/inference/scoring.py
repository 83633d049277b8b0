"""Detections that were written for an annotation file, held against its boxes."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lors_det.errors import InputError

_FIGURES = ("AP", "AP50", "AP75", "small", "medium", "large")
"""The first of COCO's figures, in its order."""

_MOST = [100, 300, 1000]
"""Detections of an image that count: for AP the first, for the others the last, as in mmdet's metric."""


def score(results: Path, annotations: Path, classes: Sequence[str]) -> dict[str, float] | None:
    """COCO's figures, those of ``lors-det test``; None where there is no box to hold detections against.

    Args:
        results: list of results, as :class:`lors_det.inference.coco_results.CocoResults` writes them.
        annotations: COCO annotation file; images without a result count as missed.
        classes: names of the categories that count.

    Returns:
        By name, AP, AP50, AP75, and AP of small, medium and large boxes; -1 where there are none of a size.

    Raises:
        InputError: if the annotations are not in COCO's format.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(annotations))
            chosen = [number for number, each in truth.cats.items() if each["name"] in classes]
            if not any(truth.catToImgs[number] for number in chosen):
                return None
            found = json.loads(results.read_bytes())
            if not found:
                return dict.fromkeys(_FIGURES, 0.0)
            evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
            evaluation.params.catIds, evaluation.params.maxDets = chosen, _MOST
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(
            f"annotation file {annotations} does not score {results} ({what}); are its boxes COCO's?"
        ) from error
    return dict(zip(_FIGURES, map(float, evaluation.stats)))
