"""The published decoder that a state dict belongs to, told from the shapes of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from lors_det.adamixer.decoder import Decoder
from lors_det.adamixer.spec import DecoderSpec
from lors_det.state_diff import state_diff


def decoder_of_weights(state: Mapping[str, Tensor], *, lors: bool) -> Decoder:
    """An AdaMixer or LORS-AdaMixer decoder of the weights' shape, without storage (on the meta device).

    Args:
        state: a :class:`Decoder`'s state dict; of every stage it must hold the parts whose shapes tell the sizes.
        lors: whether all stages share one base, with residuals; else each has its own, without.

    Raises:
        ValueError: if such a part is missing, or has other dimensions; it names it.
    """

    def shape(name: str, ndim: int) -> torch.Size:
        if name not in state:
            raise ValueError(f"it lacks {name}")
        if state[name].ndim != ndim:
            raise ValueError(f"{name} has the shape {tuple(state[name].shape)}")
        return state[name].shape

    num_stages = len({name.split(".")[2] for name in state if name.startswith("stack.stages.")}) or 1
    stages = [f"stack.stages.{number}." for number in range(num_stages)]
    mixing = ("stack.bases.0." if lors else stages[0]) + "mixing."
    channel_rows, dim = shape(mixing + "channel.weight", 2)
    num_groups = max(dim * dim // channel_rows, 1)
    spec = DecoderSpec(
        share=range(num_stages),
        num_groups=num_groups,
        num_points=shape(stages[0] + "sampling.offsets.weight", 2)[0] // (3 * num_groups),
        num_out_points=shape(mixing + "out.weight", 2)[1] // dim,
        dim=dim,
        num_heads=shape(stages[0] + "attention.tau", 1)[0],
        ffn_dim=shape(stages[0] + "ffn.layers.0.weight", 2)[0],
    )
    if lors:
        residuals = [f"stack.residuals.{number}.mixing." for number in range(num_stages)]
        factors = [shape(residual + "channel.left", 4) for residual in residuals]  # (G, K, C, R)
        downs = [
            shape(residual + "out.weight.down", 2) for residual in residuals
        ]  # K groups of rank R: one of rank K R
        spec = replace(
            spec,
            share=(0,) * num_stages,
            adaptive_rank=factors[0][3],
            adaptive_groups=[factor[1] for factor in factors],
            static_rank=1,
            static_groups=[down[0] for down in downs],
        )
    with torch.device("meta"):
        return Decoder(shape(stages[0] + "classify.3.weight", 2)[0], spec)


def check_decoder(state: Mapping[str, Tensor], *, lors: bool) -> None:
    """Refuse a state dict that is not wholly a published decoder's.

    Raises:
        ValueError: it names the first missing, unexpected and misshapen weights, and nothing else.
    """
    expected = decoder_of_weights(state, lors=lors).state_dict()
    diff = state_diff(state, {name: weight.shape for name, weight in expected.items()})
    if diff.words:
        raise ValueError(diff.words)
