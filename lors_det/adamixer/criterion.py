"""Set matching and losses (AdaMixer, section 3.5; DETR). Everything here is at least float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from lors_det.adamixer.geometry import at_least_float32, generalized_iou
from lors_det.adamixer.matching import Processes, exchange, first_fault, match
from lors_det.adamixer.stage import StageOutput

ALPHA, GAMMA = 0.25, 2.0
"""Focal loss: weight of positives, and focusing exponent."""

LOG_EPS = 1e-12


class Target(NamedTuple):
    """Ground truth of an image.

    Attributes:
        boxes_xyxy: (n, 4), pixels of the network's input.
        labels: (n,), int64.
    """

    boxes_xyxy: Tensor
    labels: Tensor


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
        processes: of the training, asked in every step; this one alone by default.
    """

    def __init__(
        self,
        *,
        class_weight: float = 2.0,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
        processes: Callable[[], Processes] = Processes,
    ) -> None:
        super().__init__()
        self.processes = processes
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

        Raises:
            FloatingPointError: if predictions or costs of any process are not finite, in all processes; see
                :func:`match`.
        """
        logits = at_least_float32(torch.stack([output.logits for output in outputs]))  # (S, B, Q, N)
        boxes = at_least_float32(torch.stack([output.boxes_xyxy for output in outputs]))  # (S, B, Q, 4)
        whwh = image_sizes.repeat(1, 2)
        num_stages, num_images, num_queries, num_classes = logits.shape

        cost = self.cost(logits.detach(), boxes.detach(), targets, whwh)
        fault = first_fault(cost, logits.detach(), boxes.detach(), [target.labels for target in targets])
        num_matched = sum(min(len(target.labels), num_queries) for target in targets)
        average, faults = exchange(logits.new_tensor(float(num_matched)), fault, self.processes())
        average = average.clamp(min=1)
        matches = match(cost, faults, [len(target.labels) for target in targets])

        labels = torch.cat([target.labels for target in targets])
        wanted = torch.zeros_like(logits)
        wanted.view(-1, num_classes)[matches.query, labels[matches.target]] = 1
        loss_cls = sigmoid_focal_loss(logits, wanted, alpha=ALPHA, gamma=GAMMA).sum((1, 2, 3))

        predicted = boxes.flatten(0, 2)[matches.query]
        true = torch.cat([target.boxes_xyxy for target in targets]).to(predicted)[matches.target]
        scale = whwh[matches.query // num_queries % num_images]
        l1 = ((predicted - true) / scale).abs().sum(-1)
        giou = 1 - generalized_iou(predicted, true)
        by_stage = boxes.new_zeros(num_stages)
        losses = {
            "loss_cls": self.class_weight * loss_cls,
            "loss_bbox": self.l1_weight * by_stage.index_add(0, matches.stage, l1),
            "loss_iou": self.giou_weight * by_stage.index_add(0, matches.stage, giou),
        }
        return {f"s{i}.{name}": (loss / average)[i] for i in range(num_stages) for name, loss in losses.items()}

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
        giou = generalized_iou(boxes[..., None, :], true[None, :, None])
        return self.class_weight * focal + self.l1_weight * l1.view_as(giou) - self.giou_weight * giou
