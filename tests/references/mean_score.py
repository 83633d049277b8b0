"""A metric that tells weights apart which have no AP yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric


@METRICS.register_module()
class MeanScore(BaseMetric):
    """Mean score of all boxes."""

    default_prefix = "coco"

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        self.results += [float(sample["pred_instances"]["scores"].mean()) for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {"mean_score": sum(results) / len(results)}
