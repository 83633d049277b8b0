"""Set matching and losses (AdaMixer, section 3.5; DETR). Everything here is at least float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import get_args

import torch
from torch import Tensor, nn

from lors_det.adamixer.class_loss import CLASS_LOSSES, ClassLoss
from lors_det.adamixer.geometry import at_least_float32, generalized_iou, paired_iou
from lors_det.adamixer.matching import Matches, Processes, exchange, first_fault, match
from lors_det.adamixer.matching_cost import matching_cost
from lors_det.adamixer.spec_values import is_int, is_number
from lors_det.adamixer.stage import StageOutput
from lors_det.adamixer.target import Target

ABSENT_LOGIT = -1e4
"""Of what is not there: its score is 0, to the last bit, and so is its class loss."""


class SetCriterion(nn.Module):
    """Matches each stage by itself, and in it each set of queries, then focal, L1 and GIoU losses.

    :func:`matching_cost` is minimised over assignments in which a query has one target at most, and a target one query
    (or ``queries_per_object``). Losses carry the same weights: focal over all queries, the box losses (L1 in units of
    the image's size before padding) over matched ones; each is summed and divided by max(1, matched queries averaged
    over processes). Of a stage with several sets of queries, losses are the sum over the sets, which weighs late stages
    more (SQR, section 4).

    Args:
        class_weight: weight of the focal loss and cost.
        l1_weight: weight of the L1 loss and cost.
        giou_weight: weight of the GIoU loss and cost.
        class_loss: "focal" (published), "varifocal" or "matchability", of which the last two teach the score how well
            the box fits, see :mod:`lors_det.adamixer.class_loss`; the cost of matching stays focal.
        queries_per_object: queries that each object is matched to, in every stage or in each of S, and fewer where an
            image has too many objects for its queries; the last must have one, as evaluation removes no duplicates. 1
            is the published matching.
        processes: of the training, asked in every step; this one alone by default.

    Raises:
        ValueError: if a choice is none of these, a weight is negative or not finite, or a number is less than 1.
    """

    def __init__(
        self,
        *,
        class_weight: float = 2.0,
        l1_weight: float = 5.0,
        giou_weight: float = 2.0,
        class_loss: ClassLoss = "focal",
        queries_per_object: int | Sequence[int] = 1,
        processes: Callable[[], Processes] = Processes,
    ) -> None:
        super().__init__()
        if class_loss not in get_args(ClassLoss):
            raise ValueError(f"class_loss={class_loss!r}; choose from {', '.join(get_args(ClassLoss))}")
        for name, weight in (("class_weight", class_weight), ("l1_weight", l1_weight), ("giou_weight", giou_weight)):
            if not is_number(weight) or not 0 <= weight < math.inf:
                raise ValueError(f"{name}={weight!r}; it must be a number from 0 on")
        per_stage = tuple(queries_per_object) if isinstance(queries_per_object, Sequence) else (queries_per_object,)
        if not per_stage or not all(is_int(number) and number >= 1 for number in per_stage):
            raise ValueError(
                f"queries_per_object={queries_per_object!r}; it must be a number from 1 on, or one a stage"
            )
        if per_stage[-1] != 1:
            raise ValueError(
                f"queries_per_object={queries_per_object!r}; the last stage must have 1: what it finds is what is "
                "detected, and duplicates stay"
            )
        self.class_loss, self.queries_per_object = class_loss, per_stage
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
            ValueError: if ``queries_per_object`` is of another number of stages, ``targets`` or ``image_sizes`` of
                another of images, or a target's box is not finite or its label no class.
            FloatingPointError: if predictions or costs of any process are not finite, in all processes; see
                :func:`match`.
        """
        names = [f"stage {number}" for number in range(len(outputs))]
        losses = self._matched(outputs, targets, image_sizes, self.repeats(len(outputs)), names)
        return _by_stage(losses, outputs, torch.sum, "")

    def selection(self, output: StageOutput, targets: Sequence[Target], image_sizes: Tensor) -> dict[str, Tensor]:
        """Losses of the cells that queries start from, one for each object, see :class:`QuerySelection`.

        Returns:
            ``selection.loss_cls``, ``selection.loss_bbox``, ``selection.loss_iou``: scalars, of the same weights.

        Raises:
            FloatingPointError: as above.
        """
        losses = self._matched([output], targets, image_sizes, [1], ["the selection of queries"], output.absent)
        return {f"selection.{name}": loss.sum() for name, loss in losses.items()}

    def _matched(
        self,
        outputs: Sequence[StageOutput],
        targets: Sequence[Target],
        image_sizes: Tensor,
        by_stage: Sequence[int],
        names: Sequence[str],
        absent: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Losses of each row, of outputs that are called so and give each object so many queries.

        ``absent``: (B, Q), queries of every row that take no part.
        """
        logits, boxes = _rows(outputs)
        if len(targets) != logits.shape[1]:
            raise ValueError(f"targets of {len(targets)} images came with outputs of {logits.shape[1]}")
        if len(image_sizes) != len(targets):
            raise ValueError(f"image_sizes of {len(image_sizes)} images came with targets of {len(targets)}")
        num_queries = logits.shape[2]
        stage_of = [stage for stage, each in enumerate(outputs) for _ in range(each.num_sets)]
        cost = matching_cost(
            logits.detach(),
            boxes.detach(),
            targets,
            image_sizes,
            class_weight=self.class_weight,
            l1_weight=self.l1_weight,
            giou_weight=self.giou_weight,
        )
        fault = first_fault(cost, logits.detach(), boxes.detach(), targets)
        counts = [len(target.labels) for target in targets]
        # no object goes without a query because another has several
        repeats = [[max(1, min(by_stage[s], num_queries // max(count, 1))) for count in counts] for s in stage_of]
        wanted = logits.new_tensor([[n * times for n, times in zip(counts, row)] for row in repeats])  # (R, B)
        there = (~absent).sum(1) if absent is not None else wanted.new_tensor(num_queries)
        num_matched = torch.minimum(wanted, there.to(wanted)).sum(1)
        average, faults = exchange(num_matched, fault, self.processes())
        if absent is not None:
            cost = cost.masked_fill(absent[..., None], math.inf)
        matches = match(cost, faults, counts, repeats, [names[stage] for stage in stage_of])
        return self._losses(logits, boxes, matches, targets, image_sizes, average, absent)

    def denoising(
        self, outputs: Sequence[StageOutput], targets: Sequence[Target], image_sizes: Tensor
    ) -> dict[str, Tensor]:
        """Losses of queries that were made of the objects: the n-th query of a set is matched to the n-th object.

        What fills up the sets of images with fewer objects than the batch's fullest takes no part, so that the losses
        of an image do not depend on those beside it, but for the number that all are divided by.

        Args:
            outputs: of each stage, in sets, see :class:`lors_det.adamixer.denoising.Denoising`.
            targets: as above.
            image_sizes: as above.

        Returns:
            ``s{i}.dn_loss_cls``, ``s{i}.dn_loss_bbox``, ``s{i}.dn_loss_iou``: scalars, of the same weights, the mean
            over the sets.
        """
        logits, boxes = _rows(outputs)
        num_rows, num_images, num_queries, _ = logits.shape
        counts = [len(target.labels) for target in targets]
        device = logits.device
        place = torch.cat([image * num_queries + torch.arange(count) for image, count in enumerate(counts)]).to(device)
        rows = torch.arange(num_rows, device=device)
        matches = Matches(
            row=rows.repeat_interleave(len(place)),
            query=(rows[:, None] * num_images * num_queries + place).flatten(),
            target=torch.arange(len(place), device=device).repeat(num_rows),
        )
        average = self.processes().mean(logits.new_tensor([float(len(place))])).expand(num_rows)
        # of a set, so many of objects, then as many of none
        number = torch.arange(num_queries, device=device) % (num_queries // 2)
        absent = number >= torch.tensor(counts, device=device)[:, None]
        losses = self._losses(logits, boxes, matches, targets, image_sizes, average, absent)
        return _by_stage(losses, outputs, torch.mean, "dn_")

    def _losses(
        self,
        logits: Tensor,
        boxes: Tensor,
        matches: Matches,
        targets: Sequence[Target],
        image_sizes: Tensor,
        average: Tensor,
        absent: Tensor | None,
    ) -> dict[str, Tensor]:
        """Of each row, divided by ``average``, (T,), or 1 where that is less; without those ``absent``, (B, Q)."""
        num_rows, num_images, num_queries, num_classes = logits.shape
        if absent is not None:
            logits = logits.masked_fill(absent[..., None], ABSENT_LOGIT)
        labels = torch.cat([target.labels for target in targets])
        predicted = boxes.flatten(0, 2)[matches.query]
        true = torch.cat([target.boxes_xyxy for target in targets]).to(predicted)[matches.target]
        positive, quality = torch.zeros_like(logits), torch.zeros_like(logits)
        where = matches.query, labels[matches.target]
        positive.view(-1, num_classes)[where] = 1
        quality.view(-1, num_classes)[where] = paired_iou(predicted.detach(), true)
        loss_cls = CLASS_LOSSES[self.class_loss](logits, positive, quality).sum((1, 2, 3))

        scale = image_sizes.repeat(1, 2)[matches.query // num_queries % num_images]
        l1 = ((predicted - true) / scale).abs().sum(-1)
        giou = 1 - generalized_iou(predicted, true)
        by_row, average = boxes.new_zeros(num_rows), average.clamp(min=1)
        return {
            "loss_cls": self.class_weight * loss_cls / average,
            "loss_bbox": self.l1_weight * by_row.index_add(0, matches.row, l1) / average,
            "loss_iou": self.giou_weight * by_row.index_add(0, matches.row, giou) / average,
        }

    def repeats(self, num_stages: int) -> tuple[int, ...]:
        """Queries for each object in each stage.

        Raises:
            ValueError: if ``queries_per_object`` is of another number of stages.
        """
        if len(self.queries_per_object) not in (1, num_stages):
            raise ValueError(
                f"queries_per_object={self.queries_per_object} has {len(self.queries_per_object)} values for "
                f"{num_stages} stages"
            )
        return self.queries_per_object * (num_stages if len(self.queries_per_object) == 1 else 1)


def _rows(outputs: Sequence[StageOutput]) -> tuple[Tensor, Tensor]:
    """A row for each stage and set of queries, T of them: logits (T, B, Q, N) and boxes (T, B, Q, 4)."""
    logits, boxes = (
        at_least_float32(torch.stack([part for each in outputs for part in of(each).chunk(each.num_sets, dim=1)]))
        for of in (attrgetter("logits"), attrgetter("boxes_xyxy"))
    )
    return logits, boxes


def _by_stage(
    losses: dict[str, Tensor], outputs: Sequence[StageOutput], joined: Callable[[Tensor], Tensor], beginning: str
) -> dict[str, Tensor]:
    """Losses of rows as those of stages, whose sets are ``joined``."""
    sizes = [each.num_sets for each in outputs]
    by_stage = {name: [joined(rows) for rows in loss.split(sizes)] for name, loss in losses.items()}
    return {f"s{i}.{beginning}{name}": by_stage[name][i] for i in range(len(outputs)) for name in losses}
