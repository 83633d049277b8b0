"""Self-attention between queries, biased towards queries whose boxes overlap (AdaMixer, section 3.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lors_det.adamixer.geometry import pairwise_iof, position_embedding, xyzr_to_xyxy
from lors_det.adamixer.queries import QueryState


class OverlapAttention(nn.Module):
    """Multi-head self-attention with an intersection-over-foreground bias.

    u = content + embedding(position) is query, key and value; head h adds tau_h log(iof_ij + 1e-7) to its
    logits; the result is LN(u + attention(u)). The residual is u, embedding included, as in all published
    models. Neither the embedding nor the bias sends gradients to the position.

    Starts with tau uniform in (0, 4), Xavier uniform weights and zero biases.

    Args:
        dim: D.
        num_heads: heads; it divides D.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"OverlapAttention: num_heads={num_heads} does not divide dim={dim}")
        self.num_heads = num_heads
        self.tau = nn.Parameter(torch.empty(num_heads))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.uniform_(self.tau, 0.0, 4.0)
        for layer in (self.qkv, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def bias(self, xyzr: Tensor) -> Tensor:
        """What the boxes (B, Q, 4) add to the logits: (B, heads, Q, Q), at least float32."""
        iof = pairwise_iof(xyzr_to_xyxy(xyzr.detach()))
        return self.tau[:, None, None] * (iof + 1e-7).log()[:, None]

    def forward(self, state: QueryState, sets: Sequence[int] = (), absent: Tensor | None = None) -> Tensor:
        """Attended content, (B, Q, D).

        Args:
            state: the queries.
            sets: sizes of parts along Q, one after the other and Q in all, whose queries attend to their own alone; one
                part by default.
            absent: (B, Q), queries that none attends to; of each part of an image at least one is not absent.
        """
        place = position_embedding(state.xyzr.detach(), state.content.shape[-1])
        # boxes are float32 in a decoder of half precision too; where torch casts by itself, it keeps the sum in float32
        device = place.device.type
        cast = device != "meta" and torch.is_autocast_enabled(device)
        u = state.content + (place if cast else place.to(state.content.dtype))
        qkv = self.qkv(u)
        if len(sets) < 2:
            attended = self._attended(qkv, state.xyzr, absent)
        else:
            attended = self._attended_apart(qkv, state.xyzr, absent, sets)
        content: Tensor = self.norm(u + self.out(attended))
        return content

    def _attended(self, qkv: Tensor, xyzr: Tensor, absent: Tensor | None) -> Tensor:
        """(B, Q, 3 D) -> (B, Q, D)."""
        query, key, value = qkv.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.bias(xyzr).to(query.dtype)
        if absent is not None:
            bias = bias.masked_fill(absent[:, None, None], -math.inf)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2).flatten(2)

    def _attended_apart(self, qkv: Tensor, xyzr: Tensor, absent: Tensor | None, sets: Sequence[int]) -> Tensor:
        """The same of each set by itself; neighbours of equal size go through together, as images do."""
        runs = [(size, len(list(run))) for size, run in groupby(sets)]
        lengths = [size * number for size, number in runs]
        gaps = [None] * len(runs) if absent is None else absent.split(lengths, dim=1)
        attended = []
        for run, part, boxes, gap in zip(runs, qkv.split(lengths, dim=1), xyzr.split(lengths, dim=1), gaps):
            found = self._attended(
                _as_images(part, *run), _as_images(boxes, *run), gap if gap is None else _as_images(gap, *run)
            )
            attended.append(found.unflatten(0, (-1, run[1])).flatten(1, 2))
        return torch.cat(attended, dim=1)


def _as_images(part: Tensor, size: int, number: int) -> Tensor:
    """(B, number size, ...) -> (B number, size, ...)."""
    images: Tensor = part.unflatten(1, (number, size)).flatten(0, 1)
    return images
