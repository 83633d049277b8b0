"""Set matching and losses (AdaMixer, section 3.5; DETR). Everything here is at least float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import reduce_mean
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from lors_det.adamixer import StageOutput
from lors_det.adamixer.geometry import at_least_float32

ALPHA, GAMMA = 0.25, 2.0
"""Focal loss: weight of positives, and focusing exponent."""

LOG_EPS, IOU_EPS = 1e-12, 1e-6


class Target(NamedTuple):
    """Ground truth of an image.

    Attributes:
        boxes_xyxy: (n, 4), pixels of the network's input.
        labels: (n,), int64.
    """

    boxes_xyxy: Tensor
    labels: Tensor


class Matches(NamedTuple):
    """Matched pairs of all stages and images, M of them.

    Attributes:
        stage: (M,), int64, i.
        query: (M,), int64, row of the predictions flattened over (S, B, Q).
        target: (M,), int64, row of the targets concatenated over images.
    """

    stage: Tensor
    query: Tensor
    target: Tensor


@MODELS.register_module()
class SetCriterion(nn.Module):
    """Matches each stage by itself, then focal, L1 and GIoU losses.

    cost = class_weight * focal + l1_weight * |box - target|_1 / (w, h, w, h) - giou_weight * GIoU, minimised over
    one-to-one assignments. Losses carry the same weights: focal over all queries, the box losses over matched
    ones; each is summed and divided by max(1, matched queries averaged over processes). w and h are the
    image's size before padding.

    Args:
        class_weight: weight of the focal loss and cost.
        l1_weight: weight of the L1 loss and cost.
        giou_weight: weight of the GIoU loss and cost.
    """

    def __init__(self, *, class_weight: float = 2.0, l1_weight: float = 5.0, giou_weight: float = 2.0) -> None:
        super().__init__()
        self.class_weight = class_weight
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight

    def forward(
        self, outputs: Sequence[StageOutput], targets: Sequence[Target], image_sizes: Tensor
    ) -> dict[str, Tensor]:
        """Losses of a step.

        Args:
            outputs: of each stage.
            targets: of each image; an image may have none.
            image_sizes: (B, 2), width and height before padding, pixels.

        Returns:
            ``s{i}.loss_cls``, ``s{i}.loss_bbox``, ``s{i}.loss_iou``: scalars.
        """
        logits = at_least_float32(torch.stack([output.logits for output in outputs]))  # (S, B, Q, N)
        boxes = at_least_float32(torch.stack([output.boxes_xyxy for output in outputs]))  # (S, B, Q, 4)
        whwh = image_sizes.repeat(1, 2)
        matches = self.match(logits.detach(), boxes.detach(), targets, whwh)

        num_stages, num_images, num_queries, num_classes = logits.shape
        num_matched = sum(min(len(target.labels), num_queries) for target in targets)
        average = reduce_mean(logits.new_tensor(float(num_matched))).clamp(min=1)

        labels = torch.cat([target.labels for target in targets])
        wanted = torch.zeros_like(logits)
        wanted.view(-1, num_classes)[matches.query, labels[matches.target]] = 1
        loss_cls = sigmoid_focal_loss(logits, wanted, alpha=ALPHA, gamma=GAMMA).sum((1, 2, 3))

        predicted = boxes.flatten(0, 2)[matches.query]
        true = torch.cat([target.boxes_xyxy for target in targets]).to(predicted)[matches.target]
        scale = whwh[matches.query // num_queries % num_images]
        l1 = ((predicted - true) / scale).abs().sum(-1)
        giou = 1 - bbox_overlaps(predicted, true, mode="giou", is_aligned=True, eps=IOU_EPS)
        by_stage = boxes.new_zeros(num_stages)
        losses = {
            "loss_cls": self.class_weight * loss_cls,
            "loss_bbox": self.l1_weight * by_stage.index_add(0, matches.stage, l1),
            "loss_iou": self.giou_weight * by_stage.index_add(0, matches.stage, giou),
        }
        return {f"s{i}.{name}": (loss / average)[i] for i in range(num_stages) for name, loss in losses.items()}

    def match(self, logits: Tensor, boxes: Tensor, targets: Sequence[Target], whwh: Tensor) -> Matches:
        """Assign targets to queries in every stage and image.

        Args:
            logits: (S, B, Q, N), detached.
            boxes: (S, B, Q, 4), xyxy, detached.
            targets: of each image.
            whwh: (B, 4), pixels.

        Raises:
            FloatingPointError: if a cost is not finite; it names the stage and the image of the batch.
        """
        counts = [len(target.labels) for target in targets]
        # the last column is zero where a query's predictions are finite, also those of classes that no target has
        finite = (logits.sum(-1) + boxes.sum(-1)) * 0
        # one copy to the host for the whole step
        cost = torch.cat([self.cost(logits, boxes, targets, whwh), finite[..., None]], dim=-1).cpu().numpy()
        num_stages, num_images, num_queries, _ = cost.shape
        first_target = np.concatenate([[0], np.cumsum(counts)])
        triples = [np.zeros((3, 0), dtype=np.int64)]
        for stage in range(num_stages):
            for image, count in enumerate(counts):
                matrix = cost[stage, image, :, :count]
                if not (np.isfinite(matrix).all() and np.isfinite(cost[stage, image, :, -1]).all()):
                    raise FloatingPointError(
                        f"stage {stage} predicts logits or boxes that are not finite for image {image} of the batch: "
                        "the model has diverged; lower the learning rate or clip gradients harder"
                    )
                query, target = linear_sum_assignment(matrix)
                row = (stage * num_images + image) * num_queries + query
                triples.append(np.stack([np.full_like(row, stage), row, first_target[image] + target]))
        return Matches(*torch.from_numpy(np.concatenate(triples, axis=1)).to(logits.device))

    def cost(self, logits: Tensor, boxes: Tensor, targets: Sequence[Target], whwh: Tensor) -> Tensor:
        """Matching costs (S, B, Q, n), n the most targets of an image; columns beyond an image's own mean nothing."""
        num_stages, _num_images = logits.shape[:2]
        true = nn.utils.rnn.pad_sequence([target.boxes_xyxy for target in targets], batch_first=True).to(boxes)
        labels = nn.utils.rnn.pad_sequence([target.labels for target in targets], batch_first=True)

        score = logits.sigmoid()
        negative = (1 - ALPHA) * score**GAMMA * -(1 - score + LOG_EPS).log()
        positive = ALPHA * (1 - score) ** GAMMA * -(score + LOG_EPS).log()
        index = labels[None, :, None, :].expand(num_stages, -1, logits.shape[2], -1)
        focal = (positive - negative).gather(-1, index)

        scale = whwh[:, None]
        l1 = torch.cdist((boxes / scale).flatten(0, 1), (true / scale).repeat(num_stages, 1, 1), p=1)
        giou = bbox_overlaps(boxes, true.expand(num_stages, -1, -1, -1), mode="giou", eps=IOU_EPS)
        return self.class_weight * focal + self.l1_weight * l1.view_as(giou) - self.giou_weight * giou
