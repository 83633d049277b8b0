"""The criterion as mmdet builds it: with the mean over the processes of mmengine."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmdet.utils import reduce_mean
from mmengine.dist import get_dist_info

from lors_det.adamixer.criterion import SetCriterion
from lors_det.adamixer.matching import Processes


@MODELS.register_module(name="SetCriterion")
def set_criterion(*, class_weight: float = 2.0, l1_weight: float = 5.0, giou_weight: float = 2.0) -> SetCriterion:
    """See :class:`lors_det.adamixer.criterion.SetCriterion`."""
    return SetCriterion(
        class_weight=class_weight, l1_weight=l1_weight, giou_weight=giou_weight, processes=current_processes
    )


def current_processes() -> Processes:
    """Those of this training."""
    rank, total = get_dist_info()
    return Processes(rank, total, reduce_mean)
