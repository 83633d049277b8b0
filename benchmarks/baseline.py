"""The same decoder in the published operators, with weights and code of its own.

It is what the published code is, and as fast: a query's kernels of a stage come from one generator, private ones
from another, all are made and summed, the projection W + B A is formed in every call, every stage classifies.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import published
from lors_det.adamixer import Decoder


class Baseline:
    """A decoder's twin.

    Args:
        decoder: whose weights are copied; in any precision.

    Attributes:
        weights: of the twin, leaves that take gradients. Names are the decoder's, but for one generator where it
            has several: ``mixing.generator.*`` of a base or a stage makes M and S of a group, group after group, and
            ``mixing.cores.*`` of a stage's residuals those of all of them, M's before S's.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        spec = decoder.spec
        self.share, self.strides, self.dim, self.num_groups = spec.share, spec.strides, spec.dim, spec.num_groups
        self.weights = {name: weight.detach().clone().requires_grad_() for name, weight in self._published().items()}

    def kept_in(self, dtype: torch.dtype) -> Baseline:
        """The same for inference, the weights of its products in ``dtype`` already, so that no call casts them."""
        kept = copy.copy(self)
        kept.weights = {
            name: weight.detach().to(dtype) if self._is_of_a_product(name) else weight.detach()
            for name, weight in self.weights.items()
        }
        return kept

    def _is_of_a_product(self, name: str) -> bool:
        """A matrix or a bias that goes with one, its own or a base's; norms stay in float32."""
        partner = self.weights.get(f"{name.removesuffix('bias')}weight") if name.endswith(".bias") else None
        return partner.ndim > 1 if partner is not None else name.endswith(".bias") or self.weights[name].ndim > 1

    def _published(self) -> dict[str, Tensor]:
        """The decoder's parameters in the published layout, as functions of them."""
        weights: dict[str, Tensor] = dict(self.decoder.named_parameters())
        for place in {name.rpartition(".channel.")[0] for name in weights if name.endswith("channel.weight")}:
            for kind in ("weight", "bias"):
                rows = [
                    weights.pop(f"{place}.{part}.{kind}").unflatten(0, (self.num_groups, -1))
                    for part in ("channel", "spatial")
                ]
                weights[f"{place}.generator.{kind}"] = torch.cat(rows, dim=1).flatten(0, 1)
        for place in {name.rpartition(".channel.core.")[0] for name in weights if ".channel.core." in name}:
            for kind in ("weight", "bias"):
                rows = [weights.pop(f"{place}.{part}.core.{kind}") for part in ("channel", "spatial")]
                weights[f"{place}.cores.{kind}"] = torch.cat(rows)
        return weights

    def gradients(self, of_weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Gradients of the decoder's parameters, given those of the same parameters as they are laid out here."""
        published_weights, parameters = self._published(), dict(self.decoder.named_parameters())
        found = torch.autograd.grad(
            [published_weights[name] for name in of_weights],
            list(parameters.values()),
            list(of_weights.values()),
            allow_unused=True,  # parameters that lie elsewhere
        )
        return {name: gradient for name, gradient in zip(parameters, found) if gradient is not None}

    def decode(self, levels: Sequence[Tensor], content: Tensor, xyzr: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Logits (B, Q, N) and boxes (B, Q, 4), xyxy in pixels, of every stage.

        Args:
            levels: (B, D, H_l, W_l).
            content: (B, Q, D).
            xyzr: (B, Q, 4), at least float32; detached before each stage but the first.
        """
        levels = [level.to(xyzr.dtype) for level in levels]  # pixel coordinates do not fit half precision
        outputs = []
        for stage in range(len(self.share)):
            content = self._attend(stage, content, xyzr)
            offsets = self._linear(stage, "sampling.offsets", content)
            sampled = published.sample(levels, published.sampling_points(offsets, xyzr, self.num_groups), self.strides)
            content = self._feed_forward(stage, self.mix(stage, sampled, content))
            logits = self._head(stage, "classify", content)
            xyzr = published.refine(xyzr, self._head(stage, "regress", content))
            outputs.append((logits, published.corners(xyzr)))
            xyzr = xyzr.detach()
        return outputs

    def mix(self, stage: int, sampled: Tensor, content: Tensor) -> Tensor:
        """A stage's mixing: (B, Q, G, P, C) and (B, Q, D) -> (B, Q, D)."""
        mixed = published.mix(sampled, *self._kernels(stage, content, sampled.shape[-2])).flatten(2)
        projected = self._linear(stage, "mixing.out", mixed)
        return self._norm(f"stack.stages.{stage}.mixing.norm", content + projected)

    def _kernels(self, stage: int, content: Tensor, num_points: int) -> list[Tensor]:
        """M (B, Q, G, C, C) and S (B, Q, G, O, P)."""
        place = f"stack.residuals.{stage}.mixing"
        owners = (f"stack.bases.{self.share[stage]}", f"stack.stages.{stage}")
        shared: list[Tensor] = []
        for owner in owners:
            if f"{owner}.mixing.generator.weight" not in self.weights:
                continue
            group_dim = self.dim // self.num_groups
            rows = self._map(f"{owner}.mixing.generator", content).unflatten(-1, (self.num_groups, -1))
            channel, spatial = rows.split([group_dim**2, rows.shape[-1] - group_dim**2], dim=-1)
            shared = [channel.unflatten(-1, (group_dim, -1)), spatial.unflatten(-1, (-1, num_points))]
        if f"{place}.cores.weight" not in self.weights:
            return shared
        factors = [
            [self.weights[f"{place}.{part}.{side}"] for side in ("left", "right")] for part in ("channel", "spatial")
        ]
        num_groups, num_residuals, _, rank = factors[0][0].shape
        cores = self._map(f"{place}.cores", content).unflatten(-1, (2, num_groups, num_residuals, rank, rank))
        return [
            published.corrected_kernels(kernel, left, core, right)
            for kernel, (left, right), core in zip(shared or (None, None), factors, cores.unbind(2), strict=True)
        ]

    def _attend(self, stage: int, content: Tensor, xyzr: Tensor) -> Tensor:
        place = f"stack.stages.{stage}.attention"
        with torch.no_grad():
            overlap = published.log_iof(published.corners(xyzr))
            embedding = published.position_embedding(xyzr, self.dim)
        u = content + embedding
        bias = self.weights[f"{place}.tau"][:, None, None] * overlap[:, None]
        attended = published.attend(self._linear(stage, "attention.qkv", u), bias)
        return self._norm(f"{place}.norm", u + self._linear(stage, "attention.out", attended))

    def _feed_forward(self, stage: int, content: Tensor) -> Tensor:
        hidden = F.relu(self._linear(stage, "ffn.layers.0", content), inplace=True)
        contracted = self._linear(stage, "ffn.layers.2", hidden)
        return self._norm(f"stack.stages.{stage}.ffn.norm", content + contracted)

    def _head(self, stage: int, name: str, content: Tensor) -> Tensor:
        place = f"stack.stages.{stage}.{name}"
        hidden = self._norm(f"{place}.1", self._map(f"{place}.0", content))
        return self._map(f"{place}.3", F.relu(hidden, inplace=True))

    def _linear(self, stage: int, place: str, x: Tensor) -> Tensor:
        """A stage's own layer, or its base's, corrected where the stage has a residual."""
        own, base = f"stack.stages.{stage}.{place}", f"stack.bases.{self.share[stage]}.{place}"
        residual = f"stack.residuals.{stage}.{place}.weight"
        weight: Any = self.weights.get(f"{own}.weight", self.weights.get(f"{base}.weight"))  # None: a residual alone
        if f"{residual}.up" in self.weights:
            weight = published.corrected_weight(
                weight, self.weights[f"{residual}.up"], self.weights[f"{residual}.down"]
            )
        bias = self.weights.get(f"{own}.bias", self.weights.get(f"{base}.bias"))
        return F.linear(x, weight, bias)

    def _map(self, place: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{place}.weight"], self.weights[f"{place}.bias"])

    def _norm(self, place: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{place}.weight"], self.weights[f"{place}.bias"])
