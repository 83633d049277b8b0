"""Small decoders and inputs for tests."""

from __future__ import annotations

import torch
from torch import Tensor

from lors_det.adamixer import Decoder, DecoderSpec, QueryState

SHAPE = dict(num_groups=2, num_points=4, num_out_points=8, dim=16, num_heads=2, ffn_dim=32)
RESIDUALS = dict(adaptive_rank=2, adaptive_groups=(1, 2, 3), static_rank=2)
NUM_CLASSES = 3
VARIANTS = {  # changes that make another member of the family out of LORS
    "lors": {},
    "grouped": {"share": (0, 0, 1)},
    "static-only": {"adaptive_rank": 0, "adaptive_groups": None},
    "adaptive-only": {"static_rank": 0},
    "shared-only": {"adaptive_rank": 0, "adaptive_groups": None, "static_rank": 0},
    "private-only": {"share": (None, None, None)},
    "partly-private": {"share": (0, None, 0)},
    "layers": {"layer_rank": 2},
    "layers-grouped": {"layer_rank": 2, "share": (0, 1, 0)},
    "gained": {"residual_gain": True, "residual_scale": 2.0, "layer_rank": 1},
    "gained-partly-private": {"residual_gain": True, "residual_scale": 0.5, "share": (0, None, 0)},
    "ranks": {"adaptive_rank": (1, 2, 3), "static_rank": (3, 1, 2)},
    "mean-gradient": {"mean_gradient": True},
}


def lors_decoder(**changes: object) -> Decoder:
    """Three stages that share one base."""
    return Decoder(NUM_CLASSES, DecoderSpec(**{"share": (0, 0, 0), **SHAPE, **RESIDUALS, **changes}))


def adamixer_decoder(**changes: object) -> Decoder:
    """Three stages of the same shape, each with weights of its own."""
    return Decoder(NUM_CLASSES, DecoderSpec(**{"share": (0, 1, 2), **SHAPE, **changes}))


def randomise(module: torch.nn.Module, std: float = 0.1) -> torch.nn.Module:
    """Leave the start, where many weights are zero: add noise to every parameter."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * std)
    return module


def inputs(num_images: int = 2, num_queries: int = 5, dim: int = 16) -> tuple[list[Tensor], QueryState]:
    """Levels of a 64 x 48 input, and queries whose boxes differ; float64."""
    levels = [torch.randn(num_images, dim, 48 // s, 64 // s, dtype=torch.float64) for s in (4, 8, 16)]
    levels.append(torch.randn(num_images, dim, 2, 2, dtype=torch.float64))
    content = torch.randn(num_images, num_queries, dim, dtype=torch.float64)
    centre = torch.rand(num_images, num_queries, 2, dtype=torch.float64) * 48
    shape = torch.randn(num_images, num_queries, 2, dtype=torch.float64) * 0.5 + torch.tensor([4.5, 0.0])
    return levels, QueryState(content, torch.cat([centre, shape], dim=-1))
