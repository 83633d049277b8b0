"""One decoder stage: attend, look, mix, transform, classify, refine (AdaMixer, figure 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

from torch import Tensor, nn

from lors_det.adamixer.attention import OverlapAttention
from lors_det.adamixer.geometry import refine, xyzr_to_xyxy
from lors_det.adamixer.mixing import Mixing, OutInit
from lors_det.adamixer.points import SamplingPoints
from lors_det.adamixer.queries import QueryState
from lors_det.ops import FeatureBank, sample_3d

CLASS_PRIOR = 0.01
"""Score that every class starts at, about."""


class StageOutput(NamedTuple):
    """What a stage predicts.

    Attributes:
        logits: (B, Q, N), before the sigmoid; (B, Q, 0) where the stage was not asked to classify.
        boxes_xyxy: (B, Q, 4), pixels of the network's input, at least float32.
        state: the queries after this stage; its position still carries gradients.
        deltas: (B, Q, 4), how the stage moved the boxes, see :func:`lors_det.adamixer.geometry.refine`.
        num_sets: parts of equal size along Q that do not see each other; the first, but not of those in
            ``beside``, is what is detected.
        beside: the output of the queries that went through beside these, see :class:`lors_det.adamixer.Decoder`.
        absent: (B, Q), True where there is no query: of images with fewer than others of their batch, the last ones. No
            loss asks for what is predicted there. None where every image has Q.
    """

    logits: Tensor
    boxes_xyxy: Tensor
    state: QueryState
    deltas: Tensor | None = None
    num_sets: int = 1
    beside: StageOutput | None = None
    absent: Tensor | None = None


class FeedForward(nn.Module):
    """LN(q + W2 ReLU(W1 q)). Starts with Xavier uniform weights and torch's default biases.

    Args:
        dim: D.
        hidden_dim: rows of W1.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, hidden_dim), nn.ReLU(inplace=True), nn.Linear(hidden_dim, dim))
        self.norm = nn.LayerNorm(dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.layers[0], self.layers[2]):
            nn.init.xavier_uniform_(cast(nn.Linear, layer).weight)

    def forward(self, content: Tensor) -> Tensor:
        """(B, Q, D) -> (B, Q, D)."""
        transformed: Tensor = self.norm(content + self.layers(content))
        return transformed


class PredictionHead(nn.Sequential):
    """Linear - LN - ReLU - Linear, D -> ``out_dim``. Starts with Xavier uniform weights, torch's default biases."""

    def __init__(self, dim: int, out_dim: int) -> None:
        hidden, predict = nn.Linear(dim, dim), nn.Linear(dim, out_dim)
        super().__init__(hidden, nn.LayerNorm(dim), nn.ReLU(inplace=True), predict)
        nn.init.xavier_uniform_(hidden.weight)
        nn.init.xavier_uniform_(predict.weight)


class Stage(nn.Module):
    """A decoder stage.

    Starts with every class scored about 0.01 and every box unmoved.

    Args:
        dim: D.
        num_classes: N.
        num_heads: attention heads.
        ffn_dim: width of the feed-forward layer.
        num_groups: G.
        num_points: P.
        num_out_points: O.
        out_init: initialisation of the mixing's output projection, see :class:`Mixing`.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        *,
        num_heads: int,
        ffn_dim: int,
        num_groups: int,
        num_points: int,
        num_out_points: int,
        out_init: OutInit = "xavier",
    ) -> None:
        super().__init__()
        self.attention = OverlapAttention(dim, num_heads)
        self.sampling = SamplingPoints(dim, num_groups=num_groups, num_points=num_points)
        self.mixing = Mixing(
            dim, num_groups=num_groups, num_points=num_points, num_out_points=num_out_points, out_init=out_init
        )
        self.ffn = FeedForward(dim, ffn_dim)
        self.classify = PredictionHead(dim, num_classes)
        self.regress = PredictionHead(dim, 4)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """What the heads start from; every part resets itself when it is built."""
        classify, regress = cast(nn.Linear, self.classify[3]), cast(nn.Linear, self.regress[3])
        nn.init.constant_(classify.bias, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))
        nn.init.zeros_(regress.weight)
        nn.init.zeros_(regress.bias)

    def forward(
        self,
        state: QueryState,
        bank: FeatureBank,
        *,
        classify: bool = True,
        sets: Sequence[int] = (),
        absent: Tensor | None = None,
    ) -> StageOutput:
        """Refine the queries, and predict from them; without ``classify``, boxes alone. The rest: see the attention."""
        content = self.attention(state, sets, absent)
        sampled = sample_3d(bank, self.sampling(content, state.xyzr))
        content = self.ffn(self.mixing(sampled, content))
        deltas = self.regress(content)
        xyzr = refine(state.xyzr, deltas)
        logits = self.classify(content) if classify else content[..., :0]
        return StageOutput(logits, xyzr_to_xyxy(xyzr), QueryState(content, xyzr), deltas)
