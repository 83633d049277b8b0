"""One decoder stage: attend, look, mix, transform, classify, refine (AdaMixer, figure 4)."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

from torch import Tensor, nn

from lors_det.adamixer.attention import OverlapAttention
from lors_det.adamixer.base import StageBase, part
from lors_det.adamixer.geometry import refine, xyzr_to_xyxy
from lors_det.adamixer.mixing import Mixing
from lors_det.adamixer.queries import QueryState
from lors_det.adamixer.sampling import SamplingPoints
from lors_det.lors import corrected, linear
from lors_det.ops import FeatureBank, sample_3d

CLASS_PRIOR = 0.01
"""Score that every class starts with."""


class StageOutput(NamedTuple):
    """What a stage predicts.

    Attributes:
        logits: (B, Q, N), before the sigmoid.
        boxes_xyxy: (B, Q, 4), pixels of the network's input, at least float32.
        state: the queries after this stage; its position still carries gradients.
    """

    logits: Tensor
    boxes_xyxy: Tensor
    state: QueryState


class FeedForward(nn.Module):
    """LN(q + W2 ReLU(W1 q)). Starts with Xavier uniform weights and torch's default biases.

    Args:
        dim: D.
        hidden_dim: rows of W1.
        static_rank: R of the residuals on shared weights; 0 where the stage has its own.
    """

    def __init__(self, dim: int, hidden_dim: int, *, static_rank: int = 0) -> None:
        super().__init__()
        expand = linear(dim, hidden_dim, static_rank=static_rank)
        contract = linear(hidden_dim, dim, static_rank=static_rank)
        self.layers = nn.ModuleList([expand, nn.ReLU(inplace=True), contract])
        self.norm = nn.LayerNorm(dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (self.layers[0], self.layers[2]):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, content: Tensor, base: StageBase | None = None) -> Tensor:
        """(B, Q, D) -> (B, Q, D); ``base`` holds the weights that residuals correct."""
        expand, relu, contract = self.layers
        hidden = relu(corrected(content, expand, part(base, "expand")))
        transformed: Tensor = self.norm(content + corrected(hidden, contract, part(base, "contract")))
        return transformed


class PredictionHead(nn.Sequential):
    """Linear - LN - ReLU - Linear, D -> ``out_dim``. Starts with Xavier uniform weights, torch's default biases."""

    def __init__(self, dim: int, out_dim: int) -> None:
        hidden, predict = nn.Linear(dim, dim), nn.Linear(dim, out_dim)
        super().__init__(hidden, nn.LayerNorm(dim), nn.ReLU(inplace=True), predict)
        nn.init.xavier_uniform_(hidden.weight)
        nn.init.xavier_uniform_(predict.weight)


class Stage(nn.Module):
    """A decoder stage. What it may share with other stages, its base, is a call argument.

    Starts with every class scored 0.01 and every box unmoved.

    Args:
        dim: D.
        num_classes: N.
        num_heads: attention heads.
        ffn_dim: width of the feed-forward layer.
        num_groups: G.
        num_points: P.
        mixing: the private part of the mixing.
        static_rank: R of the residuals on shared weights of attention, feed-forward layer and offsets; 0 where the
            stage has its own.
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
        mixing: Mixing,
        static_rank: int = 0,
    ) -> None:
        super().__init__()
        self.attention = OverlapAttention(dim, num_heads, static_rank=static_rank)
        self.sampling = SamplingPoints(dim, num_groups=num_groups, num_points=num_points, static_rank=static_rank)
        self.mixing = mixing
        self.ffn = FeedForward(dim, ffn_dim, static_rank=static_rank)
        self.classify = PredictionHead(dim, num_classes)
        self.regress = PredictionHead(dim, 4)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """What the heads start from; every part resets itself when it is built."""
        classify, regress = cast(nn.Linear, self.classify[3]), cast(nn.Linear, self.regress[3])
        nn.init.constant_(classify.bias, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))
        nn.init.zeros_(regress.weight)
        nn.init.zeros_(regress.bias)

    def forward(self, state: QueryState, bank: FeatureBank, base: StageBase | None) -> StageOutput:
        """Refine the queries, and predict from them."""
        state = self.advance(state, bank, base)
        return StageOutput(self.classify(state.content), xyzr_to_xyxy(state.xyzr), state)

    def advance(self, state: QueryState, bank: FeatureBank, base: StageBase | None) -> QueryState:
        """Refine the queries; nothing is classified."""
        content = self.attention(state, base)
        sampled = sample_3d(bank, self.sampling(content, state.xyzr, base))
        content = self.ffn(self.mixing(sampled, content, base), base)
        return QueryState(content, refine(state.xyzr, self.regress(content)))
