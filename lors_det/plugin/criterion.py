"""The criterion as mmdet builds it: with the mean over the processes of mmengine."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.registry import MODELS
from mmdet.utils import reduce_mean
from mmengine.dist import get_dist_info

from lors_det.adamixer.class_loss import ClassLoss
from lors_det.adamixer.criterion import SetCriterion
from lors_det.adamixer.matching import Processes
from lors_det.plugin.head_key import head_key


@MODELS.register_module(name="SetCriterion")
def set_criterion(
    *,
    class_weight: float = 2.0,
    l1_weight: float = 5.0,
    giou_weight: float = 2.0,
    class_loss: ClassLoss = "focal",
    queries_per_object: int | Sequence[int] = 1,
) -> SetCriterion:
    """See :class:`lors_det.adamixer.criterion.SetCriterion`.

    Raises:
        InputError: if a value is none of those that it takes; it names the config key.
    """
    with head_key("criterion"):
        return SetCriterion(
            class_weight=class_weight,
            l1_weight=l1_weight,
            giou_weight=giou_weight,
            class_loss=class_loss,
            queries_per_object=queries_per_object,
            processes=current_processes,
        )


def current_processes() -> Processes:
    """Those of this training."""
    rank, total = get_dist_info()
    return Processes(rank, total, reduce_mean)
