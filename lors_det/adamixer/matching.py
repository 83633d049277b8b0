"""Matching of queries and targets (DETR, section 3.1), agreed on by all processes of a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from lors_det.adamixer.target import Target


class Processes(NamedTuple):
    """The processes of a training.

    Attributes:
        rank: this process's number.
        total: how many there are.
        mean: of a tensor over all of them, in all of them.
    """

    rank: int = 0
    total: int = 1
    mean: Callable[[Tensor], Tensor] = torch.Tensor.clone


class Matches(NamedTuple):
    """Matched pairs of all rows (stages, and sets of queries in them) and images, M of them.

    Attributes:
        row: (M,), int64, of T rows.
        query: (M,), int64, place in the predictions flattened over (T, B, Q).
        target: (M,), int64, place in the targets concatenated over images.
    """

    row: Tensor
    query: Tensor
    target: Tensor


PREDICTION, BOX, LABEL = 1, 2, 3
"""What a fault is of."""


def first_fault(cost: Tensor, logits: Tensor, boxes: Tensor, targets: Sequence[Target]) -> Tensor:
    """Where a prediction, a cost or a target's box is not finite, or a target's label no class.

    Args:
        cost: (T, B, Q, n), n the most targets of an image.
        logits: (T, B, Q, N), also those of classes that no target has.
        boxes: (T, B, Q, 4).
        targets: of each image.

    Returns:
        (3,), int64: 0 where there is none, or what it is of, ``PREDICTION``, ``BOX`` or ``LABEL``; and the row and the
        image of the first, on the device.
    """
    pad = partial(nn.utils.rnn.pad_sequence, batch_first=True)
    own = pad([torch.ones_like(each.labels) for each in targets]) > 0
    finite = (cost.isfinite() | ~own[:, None]).all(-1) & logits.isfinite().all(-1) & boxes.isfinite().all(-1)
    labels, num_images = pad([each.labels for each in targets]), cost.shape[1]
    of_target = torch.where(pad([each.boxes_xyxy for each in targets]).isfinite().flatten(1).all(1), 0, BOX)  # (B,)
    of_target = torch.where(((labels < 0) | (labels >= logits.shape[-1])).any(1), LABEL, of_target)
    bad = ~finite.all(-1) | (of_target > 0)  # (T, B)
    index = bad.flatten().int().argmax()  # the first of equal ones
    image = index % num_images
    kind = of_target.gather(0, image[None])[0]  # of_target[image] would wait for the number
    return torch.stack([kind.clamp(min=PREDICTION) * bad.any(), index // num_images, image])


class PredictionError(FloatingPointError):
    """Logits, boxes or costs are not finite, of the process ``rank``."""

    def __init__(self, words: str, rank: int) -> None:
        super().__init__(words)
        self.rank = rank


def exchange(num_matched: Tensor, fault: Tensor, processes: Processes) -> tuple[Tensor, Tensor]:
    """The mean of ``num_matched``, (T,), over the processes, and the faults of all, (processes, 3).

    One reduction serves both. A process that raised by itself would leave the others waiting for it.
    """
    faults = num_matched.new_zeros(processes.total, 3)
    faults[processes.rank] = fault.to(faults)
    mean = processes.mean(torch.cat([num_matched, faults.flatten()]))
    return mean[: len(num_matched)], mean[len(num_matched) :].view_as(faults) * processes.total


def match(
    cost: Tensor, faults: Tensor, counts: Sequence[int], repeats: Sequence[Sequence[int]], names: Sequence[str]
) -> Matches:
    """Assign targets to queries in every row and image; a query gets one target at most.

    Args:
        cost: (T, B, Q, n); columns beyond an image's own targets mean nothing. Infinite in rows of queries that are not
            there, which are an image's last ones.
        faults: (processes, 3), of every process what :func:`first_fault` found.
        counts: targets of each image.
        repeats: queries that each target gets, in each row and image, as long as there are queries.
        names: of each row's stage, for the message.

    Raises:
        PredictionError: if a prediction of any process is not finite, in all of them; it names the stage, the image and
            the process.
        ValueError: if a target's box is not finite or its label no class, likewise.
    """
    num_rows, num_images, num_queries, _ = cost.shape
    # one copy to the host for the whole step
    flat = torch.cat([cost.flatten(), faults.flatten().to(cost)]).cpu().numpy()
    costs = flat[: cost.numel()].reshape(cost.shape)
    for rank, (kind, row, image) in enumerate(flat[cost.numel() :].reshape(faults.shape).round().astype(int)):
        batch = "the batch" if len(faults) == 1 else f"the batch of rank {rank}"
        if kind in (BOX, LABEL):
            fault = "a box that is not finite" if kind == BOX else "a label that is no class of the model, from 0 on"
            raise ValueError(f"targets of image {image} of {batch} have {fault}")
        if kind:
            raise PredictionError(
                f"{names[row]} predicts logits or boxes that are not finite for image {image} of {batch}: "
                "the model has diverged; lower the learning rate or clip gradients harder",
                rank,
            )
    first_target = np.concatenate([[0], np.cumsum(counts)])
    there = np.isfinite(costs[..., :1]).all(-1).sum(-1)  # (T, B), of images that have a target
    triples = [np.zeros((3, 0), dtype=np.int64)]
    for row in range(num_rows):
        for image, count in enumerate(counts):
            own = costs[row, image, : there[row, image], :count]
            query, target = linear_sum_assignment(np.tile(own, repeats[row][image]))
            place = (row * num_images + image) * num_queries + query
            triples.append(np.stack([np.full_like(place, row), place, first_target[image] + target % max(count, 1)]))
    return Matches(*torch.from_numpy(np.concatenate(triples, axis=1)).to(cost.device))
