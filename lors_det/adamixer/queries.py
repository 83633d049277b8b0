"""What enters the first stage: learned content, and positions that follow from the image's size alone."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lors_det.adamixer.geometry import whole_image_xyzr


class QueryState(NamedTuple):
    """Queries between two stages.

    Attributes:
        content: (B, Q, D).
        xyzr: (B, Q, 4), at least float32.
    """

    content: Tensor
    xyzr: Tensor


class QuerySets(NamedTuple):
    """Queries in sets of equal size, one after the other along Q, that do not see each other.

    Attributes:
        state: all of them.
        num_sets: how many sets.
        absent: (B, Q), queries that fill up a set and that none attends to; at least one of each set is not. None:
            there are none.
    """

    state: QueryState
    num_sets: int
    absent: Tensor | None = None

    @property
    def sizes(self) -> list[int]:
        """Of each set.

        Raises:
            ValueError: if there is no set, or the queries do not make sets of equal size.
        """
        number = self.state.content.shape[1]
        if self.num_sets < 1 or number % self.num_sets:
            raise ValueError(f"num_sets={self.num_sets}: {number} queries do not make so many sets of equal size")
        return [number // self.num_sets] * self.num_sets


GRID_SPREAD = 0.1
"""Standard deviation of content over the queries of a grid."""

Start = Literal["image", "grid", "selected"]
"""Where queries start, see :class:`InitialQueries`."""


class InitialQueries(nn.Module):
    """Learned content (Q, D), normalised without affine weights; the position is not learned.

    Every query starts at the whole image, as published, or at a box of its own in a grid of Q cells: rows of nearly
    equally many boxes, each 2 / sqrt(Q) of the image wide and high, so that neighbours overlap by half. From a random
    decoder, queries that all look at the same place first have to part; on few images and few steps a grid saves that
    time. Selected ones start at what looks like an object, see :class:`lors_det.adamixer.selection.QuerySelection`,
    which replaces the whole image that is given here.

    Content starts as N(0, 1), apart for queries at the same place, or, where they are selected, often near each other.
    Queries of a grid differ by their places already, and their content starts as one vector of N(0, 1) plus
    ``GRID_SPREAD`` N(0, 1): what a query learns serves all.

    Args:
        num_queries: Q.
        dim: D.
        start: "image", "grid" or "selected".

    Raises:
        ValueError: if the start is none of these.
    """

    cells: Tensor

    def __init__(self, num_queries: int, dim: int, *, start: Start = "image") -> None:
        super().__init__()
        if start not in get_args(Start):
            raise ValueError(f"start is {start!r}; choose from {', '.join(get_args(Start))}")
        self.start = start
        self.content = nn.Parameter(torch.empty(num_queries, dim))
        # follow from the number of queries, so that nothing is stored; whole numbers stay exact in half precision
        self.register_buffer("cells", grid_cells(num_queries), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.content)
        if self.start == "grid":
            with torch.no_grad():
                self.content.mul_(GRID_SPREAD).add_(torch.randn_like(self.content[0]))

    def forward(self, image_sizes: Tensor) -> QueryState:
        """Queries of a batch.

        Args:
            image_sizes: (B, 2), width and height of each image before padding, pixels, float32 or float64.

        Raises:
            ValueError: if they are of another type: whole numbers have no centres of cells, half ones no pixels.
        """
        if image_sizes.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"image_sizes are {image_sizes.dtype}; they must be float32 or float64")
        num_queries, dim = self.content.shape
        content = F.layer_norm(self.content, (dim,)).expand(image_sizes.shape[0], -1, -1)
        xyzr = whole_image_xyzr(image_sizes)[:, None].expand(-1, num_queries, -1)
        if self.start == "grid":
            part, whole = self.cells.to(image_sizes)
            centres = part / whole * image_sizes[:, None]
            size = xyzr[..., 2:3] + (1 - math.log2(num_queries) / 2)  # log2 of 2 / sqrt(Q)
            xyzr = torch.cat([centres, size, xyzr[..., 3:]], dim=-1)
        return QueryState(content, xyzr)


def grid_cells(num_queries: int) -> Tensor:
    """Centres of a grid of Q cells over the unit square, row by row; a row has about sqrt(Q).

    Returns:
        (2, Q, 2) int64: numerators of x and y, and their denominators.
    """
    num_rows = max(1, round(math.sqrt(num_queries)))
    bounds = [row * num_queries // num_rows for row in range(num_rows + 1)]
    cells = [
        ((2 * column + 1, 2 * row + 1), (2 * (end - begin), 2 * num_rows))
        for row, (begin, end) in enumerate(pairwise(bounds))
        for column in range(end - begin)
    ]
    return torch.tensor(cells, dtype=torch.int64).reshape(num_queries, 2, 2).transpose(0, 1).contiguous()
