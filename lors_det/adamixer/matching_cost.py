"""What matching a query to a target costs (AdaMixer, section 3.5; DETR)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lors_det.adamixer.class_loss import ALPHA, GAMMA
from lors_det.adamixer.geometry import generalized_iou
from lors_det.adamixer.target import Target

LOG_EPS = 1e-12


def matching_cost(
    logits: Tensor,
    boxes: Tensor,
    targets: Sequence[Target],
    image_sizes: Tensor,
    *,
    class_weight: float,
    l1_weight: float,
    giou_weight: float,
) -> Tensor:
    """class_weight * focal + l1_weight * |box - target|_1 / (w, h, w, h) - giou_weight * GIoU.

    focal is what the focal loss of the target's class changes by if the query is matched, whichever the class loss is.

    Args:
        logits: (T, B, Q, N), of T rows of queries, at least float32, as the costs are.
        boxes: (T, B, Q, 4), xyxy in pixels.
        targets: of each of the B images; an image may have none.
        image_sizes: (B, 2), w and h before padding, pixels.
        class_weight: weight of the focal cost.
        l1_weight: weight of the L1 cost.
        giou_weight: weight of the GIoU.

    Returns:
        (T, B, Q, n), n the most targets of an image; columns beyond an image's own mean nothing.
    """
    num_rows, _num_images = logits.shape[:2]
    true = nn.utils.rnn.pad_sequence([target.boxes_xyxy for target in targets], batch_first=True).to(boxes)
    labels = nn.utils.rnn.pad_sequence([target.labels for target in targets], batch_first=True)
    labels = labels.clamp(0, logits.shape[-1] - 1)  # of others first_fault tells

    score = logits.sigmoid()
    negative = (1 - ALPHA) * score**GAMMA * -(1 - score + LOG_EPS).log()
    positive = ALPHA * (1 - score) ** GAMMA * -(score + LOG_EPS).log()
    index = labels[None, :, None, :].expand(num_rows, -1, logits.shape[2], -1)
    focal = (positive - negative).gather(-1, index)

    scale = image_sizes.repeat(1, 2)[:, None]
    l1 = torch.cdist((boxes / scale).flatten(0, 1), (true / scale).repeat(num_rows, 1, 1), p=1)
    giou = generalized_iou(boxes[..., None, :], true[None, :, None])
    return class_weight * focal + l1_weight * l1.view_as(giou) - giou_weight * giou
