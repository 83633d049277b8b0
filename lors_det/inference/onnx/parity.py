"""Whether an exported graph computes what the model does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lors_det.inference.onnx.runtime import open_session

TOLERANCE = 1e-3
"""Of scores, and of boxes in shares of the input's longer side.

Six stages that start where the last one looked make more of rounding than one does: of the published size, untrained,
at 1344 x 800 pixels, 1e-4 and 6e-4 were seen; at 640 x 384 torch in float32 is as far from float64 as onnxruntime is.
"""


@dataclass(frozen=True)
class Parity:
    """The largest differences between onnxruntime and torch.

    Attributes:
        scores: of the sorted scores.
        pixels: of coordinates of boxes that have the same rank.
        side: the input's longer side in pixels.
        labels_agree: whether all labels of such boxes are the same.
        num_compared: boxes and labels; scores that are as near to their neighbours as rounding have no certain rank.
    """

    scores: float
    pixels: float
    side: int
    labels_agree: bool
    num_compared: int

    @property
    def holds(self) -> bool:
        """Whether they are rounding alone; not where one is not a number, or nothing could be compared."""
        near = self.scores <= TOLERANCE and self.pixels <= TOLERANCE * self.side
        return near and self.labels_agree and self.num_compared > 0

    def __str__(self) -> str:
        labels = "" if self.labels_agree else ", other labels"
        return f"scores by {self.scores:.1e} and boxes by {self.pixels:.1e} pixels at most{labels}"


def compare(
    graph: nn.Module, content: bytes, inputs: Sequence[str], outputs: Sequence[str], size: tuple[int, int]
) -> Parity:
    """Detections of one image that fills the input, and of three of which two do not, by both.

    Args:
        graph: the model.
        content: the ONNX file's.
        inputs: names of its arguments.
        outputs: names of its results: boxes, scores and labels.
        size: width and height of its input.
    """
    session = open_session(content, "cpu")
    found = [
        (
            [result.numpy() for result in graph(images, sizes)],
            session.run(list(outputs), dict(zip(inputs, (images.numpy(), sizes.numpy())))),
        )
        for images, sizes in (_images(1, size), _images(3, size))
    ]
    return _parity(found, max(size))


def _images(number: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Soft coloured patches, and the sizes of the images of them; each but the first is smaller than the input."""
    width, height = size
    generator = torch.Generator().manual_seed(number)
    coarse = torch.rand(number, 3, 9, 9, generator=generator)
    pixels = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1) * 255
    sizes = [(max(1, width - width * each // 5), max(1, height - height * each // 7)) for each in range(number)]
    return pixels.round().byte().permute(0, 2, 3, 1).contiguous(), torch.tensor(sizes)


def _parity(found: Sequence[tuple[Sequence[NDArray], Sequence[NDArray]]], side: int) -> Parity:
    scores = _largest([ours[1] - theirs[1] for ours, theirs in found])
    apart = [_apart(ours[1]) > 4 * scores for ours, _ in found]
    kept = [[(each[mine], other[mine]) for each, other in zip(*pair)] for pair, mine in zip(found, apart)]
    return Parity(
        scores=scores,
        pixels=_largest([ours - theirs for (ours, theirs), *_ in kept]),
        side=side,
        labels_agree=all(np.array_equal(*labels) for *_, labels in kept),
        num_compared=sum(int(mine.sum()) for mine in apart),
    )


def _apart(scores: NDArray) -> NDArray:
    """How far each of the sorted scores (B, K) is from its nearer neighbour; the last one's may be left out."""
    none = np.full((len(scores), 1), np.inf)
    gaps = np.hstack([none, np.abs(np.diff(scores, axis=1)), 0 * scores[:, :1]])
    return np.minimum(gaps[:, :-1], gaps[:, 1:])


def _largest(differences: Sequence[NDArray]) -> float:
    """In absolute value; not a number where one is not."""
    return float(np.max([np.abs(each).max(initial=0) for each in differences]))
