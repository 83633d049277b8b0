"""Layers that this project did not write, small ones, and what a stack shares of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from references.small import randomise
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock

import lors_det.plugin  # noqa: F401 - lets mmdet import without mmcv's compiled operations

# isort: split
from mmdet.models.layers.transformer import DeformableDetrTransformerDecoderLayer

from lors_det.lors import MakeResidual, SharedStack, adaptive, static

DIM, HEADS, WIDTH = 8, 2, 12
SHARE = (0, 0, 1, 0)  # a base with three users and a base with one


class Foreign(NamedTuple):
    """A kind of layer; ``arguments`` of a call beside its first, of float tensors in float32."""

    make: Callable[[], nn.Module]
    residuals: Mapping[str, MakeResidual | None]
    arguments: Callable[[], dict[str, Tensor]]

    def stack(self, share=SHARE) -> SharedStack:
        """As constructed: residuals are zero."""
        return SharedStack([self.make() for _ in share], share=share, residuals=self.residuals)

    def random_stack(self, share=SHARE) -> SharedStack:
        """In float64, with residuals."""
        return randomise(self.stack(share), std=0.3).double()


def generator(rows: int, columns: int) -> MakeResidual:
    """A layer's output as two kernels that its input generates."""
    return adaptive((rows, columns), num_groups=2, rank=2, num_residuals=(1, 2, 2, 3))


TORCH = Foreign(
    make=lambda: nn.TransformerDecoderLayer(DIM, HEADS, WIDTH, dropout=0.0, batch_first=True),
    residuals={
        "self_attn.in_proj_weight": static(rank=2, num_groups=(1, 2, 1, 2)),  # a bare parameter
        "multihead_attn": None,  # its bare parameters, not its out_proj
        "multihead_attn.out_proj.weight": static(rank=1),
        "linear1.weight": static(rank=2),
        "linear2": generator(2, 2),
        "norm2": None,
    },
    arguments=lambda: {"memory": torch.randn(2, 7, DIM)},
)
VIT = Foreign(
    make=lambda: EncoderBlock(HEADS, DIM, WIDTH, dropout=0.0, attention_dropout=0.0),
    residuals={
        "self_attention.in_proj_weight": static(rank=2),
        "self_attention.in_proj_bias": None,
        "mlp.0.weight": static(rank=2, num_groups=(1, 2, 3, 1)),
        "mlp.3": generator(2, 2),
        "ln_1": None,
    },
    arguments=dict,
)
DEFORMABLE = Foreign(
    make=lambda: DeformableDetrTransformerDecoderLayer(
        self_attn_cfg=dict(embed_dims=DIM, num_heads=HEADS, batch_first=True),
        cross_attn_cfg=dict(embed_dims=DIM, num_heads=HEADS, num_levels=2, num_points=3, dropout=0.0, batch_first=True),
        ffn_cfg=dict(embed_dims=DIM, feedforward_channels=WIDTH),
    ),
    residuals={
        "self_attn.attn.in_proj_weight": static(rank=2),
        "cross_attn.sampling_offsets.weight": static(rank=2),
        "cross_attn.value_proj": generator(4, 1),
        "ffn.layers.0.0.weight": static(rank=2, num_groups=(1, 2, 3, 1)),
        "ffn.layers.1": None,
        "norms.0": None,
    },
    arguments=lambda: {
        "query_pos": torch.randn(2, 5, DIM),
        "value": torch.randn(2, 16 + 4, DIM),
        "reference_points": torch.rand(2, 5, 1, 2).expand(-1, -1, 2, -1),
        "spatial_shapes": torch.tensor([[4, 4], [2, 2]]),
        "level_start_index": torch.tensor([0, 16]),
    },
)
KINDS = {"torch": TORCH, "vit": VIT, "deformable": DEFORMABLE}


def inputs(kind: Foreign, dtype: torch.dtype = torch.float64) -> tuple[Tensor, dict[str, Tensor]]:
    """x (B, Q, D), which wants a gradient, and the other arguments."""
    x = torch.randn(2, 5, DIM, dtype=dtype, requires_grad=True)
    others = kind.arguments()
    return x, {name: value.to(dtype) if value.is_floating_point() else value for name, value in others.items()}


def run(stages, x: Tensor, arguments: Mapping[str, Tensor]) -> list[Tensor]:
    """The output of each stage, one after the other."""
    outputs = []
    for stage in stages:
        x = stage(x, **arguments)
        outputs.append(x)
    return outputs
