"""The golden numbers of the published models, and decoders that carry their weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lors_det.adamixer import Decoder, DecoderSpec, QueryState
from lors_det.checkpoints.published_names import from_published

DATA = Path(__file__).parent.parent / "data"
COMMON = dict(dim=32, num_heads=4, ffn_dim=64, num_out_points=16)
DECODERS = {
    "lors": DecoderSpec(
        share=(0, 0, 0), num_groups=2, num_points=9, adaptive_rank=4, adaptive_groups=(1, 2, 3), static_rank=3, **COMMON
    ),
    "adamixer": DecoderSpec(share=(0, 1, 2), num_groups=4, num_points=6, **COMMON),
}
NUM_CLASSES, NUM_STAGES = 5, 3


def load(model: str) -> dict[str, Tensor]:
    """All arrays of a golden file as tensors."""
    with np.load(DATA / f"golden_{model}.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def decoder_of(model: str, golden: dict[str, Tensor]) -> Decoder:
    """The model's decoder with the golden weights, loaded strictly through the published key map."""
    published = {name.removeprefix("weight/"): value for name, value in golden.items() if name.startswith("weight/")}
    converted = from_published(published)
    decoder = Decoder(NUM_CLASSES, DECODERS[model])
    decoder.load_state_dict({name.removeprefix("bbox_head.decoder."): value for name, value in converted.items()})
    return decoder


def inputs_of(golden: dict[str, Tensor]) -> tuple[list[Tensor], QueryState]:
    """Levels and queries as leaves."""
    levels = [golden[f"input/feats{level}"].clone().requires_grad_() for level in range(4)]
    return levels, QueryState(golden["input/query"].clone().requires_grad_(), golden["input/xyzr"])


def relative_error(value: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the largest expected value."""
    return ((value - expected).abs().max() / expected.abs().max()).item()
