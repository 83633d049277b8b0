"""The published decoder that a state dict belongs to, told from the shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lors_det.adamixer.decoder import Decoder


def decoder_of_weights(state: Mapping[str, Tensor], *, lors: bool) -> Decoder:
    """An AdaMixer or LORS-AdaMixer decoder of the weights' shape, without storage (on the meta device).

    Args:
        state: a :class:`Decoder`'s state dict; of every stage it must hold the parts whose shapes tell the sizes.
        lors: whether all stages share one base, with residuals; else each has its own, without.

    Raises:
        ValueError: if such a part is missing; it names it.
    """

    def shape(name: str) -> torch.Size:
        if name not in state:
            raise ValueError(f"it lacks {name}")
        return state[name].shape

    num_stages = len({name.split(".")[1] for name in state if name.startswith("stages.")}) or 1
    stages = [f"stages.{number}." for number in range(num_stages)]
    if len(shape("bases.0.channel.weight")) != 2:
        raise ValueError(f"bases.0.channel.weight has the shape {tuple(shape('bases.0.channel.weight'))}")
    channel_rows, dim = shape("bases.0.channel.weight")
    num_groups = max(dim * dim // channel_rows, 1)
    arguments: dict[str, Any] = dict(
        num_groups=num_groups,
        num_points=shape(stages[0] + "sampling.offsets.weight")[0] // (3 * num_groups),
        num_out_points=shape("bases.0.out.weight")[1] // dim,
        dim=dim,
        num_heads=shape(stages[0] + "attention.tau")[0],
        ffn_dim=shape(stages[0] + "ffn.layers.0.weight")[0],
    )
    if lors:
        factors = [shape(stage + "mixing.channel.left") for stage in stages]  # (G, K, C, R)
        downs = [shape(stage + "mixing.out.down") for stage in stages]  # K groups of rank R are one of rank K R
        arguments |= dict(
            adaptive_rank=factors[0][3],
            adaptive_groups=[factor[1] for factor in factors],
            static_rank=1,
            static_groups=[down[0] for down in downs],
        )
    share = (0,) * num_stages if lors else range(num_stages)
    with torch.device("meta"):
        return Decoder(shape(stages[0] + "classify.3.weight")[0], share, **arguments)


def check_decoder(state: Mapping[str, Tensor], *, lors: bool) -> None:
    """Refuse a state dict that is not wholly a published decoder's.

    Raises:
        ValueError: it names the first missing, unexpected and misshapen weights, and nothing else.
    """
    expected = decoder_of_weights(state, lors=lors).state_dict()
    problems = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "misshapen": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(weight.shape)}"
            for name, weight in expected.items()
            if name in state and state[name].shape != weight.shape
        ],
    }
    words = [f"{len(names)} {kind}: {', '.join(names[:3])}" for kind, names in problems.items() if names]
    if words:
        raise ValueError("; ".join(words))
