"""Set matching and losses (AdaMixer, section 3.5; DETR). Everything here is at least float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import reduce_mean
from mmengine.dist import get_dist_info
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

        Raises:
            FloatingPointError: if predictions or costs of any process are not finite, in all processes; see
                :func:`match`.
        """
        logits = at_least_float32(torch.stack([output.logits for output in outputs]))  # (S, B, Q, N)
        boxes = at_least_float32(torch.stack([output.boxes_xyxy for output in outputs]))  # (S, B, Q, 4)
        whwh = image_sizes.repeat(1, 2)
        num_stages, num_images, num_queries, num_classes = logits.shape

        cost = self.cost(logits.detach(), boxes.detach(), targets, whwh)
        fault = first_fault(cost, logits.detach(), boxes.detach(), targets)
        num_matched = sum(min(len(target.labels), num_queries) for target in targets)
        average, faults = _exchange(logits.new_tensor(float(num_matched)), fault)
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
        giou = 1 - bbox_overlaps(predicted, true, mode="giou", is_aligned=True, eps=IOU_EPS)
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
        giou = bbox_overlaps(boxes, true.expand(num_stages, -1, -1, -1), mode="giou", eps=IOU_EPS)
        return self.class_weight * focal + self.l1_weight * l1.view_as(giou) - self.giou_weight * giou


def first_fault(cost: Tensor, logits: Tensor, boxes: Tensor, targets: Sequence[Target]) -> Tensor:
    """Where a prediction or a cost is not finite.

    Args:
        cost: (S, B, Q, n), see :meth:`SetCriterion.cost`.
        logits: (S, B, Q, N), also those of classes that no target has.
        boxes: (S, B, Q, 4).
        targets: of each image.

    Returns:
        (3,), int64: whether there is one, and the stage and the image of the first, on the device.
    """
    own = nn.utils.rnn.pad_sequence([torch.ones_like(target.labels) for target in targets], batch_first=True) > 0
    finite = (cost.isfinite() | ~own[:, None]).all(-1) & logits.isfinite().all(-1) & boxes.isfinite().all(-1)
    bad = ~finite.all(-1)  # (S, B)
    index, num_images = bad.flatten().int().argmax(), bad.shape[1]  # the first of equal ones
    return torch.stack([bad.any().long(), index // num_images, index % num_images])


def _exchange(num_matched: Tensor, fault: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of ``num_matched`` over the processes, and the faults of all, (processes, 3).

    One reduction serves both. A process that raised by itself would leave the others waiting for it.
    """
    rank, num_processes = get_dist_info()
    faults = num_matched.new_zeros(num_processes, 3)
    faults[rank] = fault.to(faults)
    mean = reduce_mean(torch.cat([num_matched[None], faults.flatten()]))
    return mean[0], mean[1:].view_as(faults) * num_processes


def match(cost: Tensor, faults: Tensor, counts: Sequence[int]) -> Matches:
    """Assign targets to queries in every stage and image.

    Args:
        cost: (S, B, Q, n); columns beyond an image's own targets mean nothing.
        faults: (processes, 3), of every process what :func:`first_fault` found.
        counts: targets of each image.

    Raises:
        FloatingPointError: if any process has a fault, in all of them; it names the stage, the image and the process.
    """
    num_stages, num_images, num_queries, _ = cost.shape
    # one copy to the host for the whole step
    flat = torch.cat([cost.flatten(), faults.flatten().to(cost)]).cpu().numpy()
    costs = flat[: cost.numel()].reshape(cost.shape)
    for rank, (is_bad, stage, image) in enumerate(flat[cost.numel() :].reshape(faults.shape).round().astype(int)):
        if is_bad:
            batch = "the batch" if len(faults) == 1 else f"the batch of rank {rank}"
            raise FloatingPointError(
                f"stage {stage} predicts logits or boxes that are not finite for image {image} of {batch}: "
                "the model has diverged; lower the learning rate or clip gradients harder"
            )
    first_target = np.concatenate([[0], np.cumsum(counts)])
    triples = [np.zeros((3, 0), dtype=np.int64)]
    for stage in range(num_stages):
        for image, count in enumerate(counts):
            query, target = linear_sum_assignment(costs[stage, image, :, :count])
            row = (stage * num_images + image) * num_queries + query
            triples.append(np.stack([np.full_like(row, stage), row, first_target[image] + target]))
    return Matches(*torch.from_numpy(np.concatenate(triples, axis=1)).to(cost.device))
