"""The full-rank weights that stages may share."""

from __future__ import annotations

from typing import Literal

from torch import nn

OutInit = Literal["xavier", "linear"]

PARTS = {
    "channel": "mixing.channel",
    "spatial": "mixing.spatial",
    "out": "mixing.out",
    "qkv": "attention.qkv",
    "attended": "attention.out",
    "expand": "ffn.layers.0",
    "contract": "ffn.layers.2",
    "offsets": "sampling.offsets",
}
"""Part of a base: the part of a stage that corrects it."""


class StageBase(nn.Module):
    """Full-rank weights of one stage or of several: the mixing's three maps and, where they are shared, other layers.

    channel: D -> G C C generates M, input channel first; spatial: D -> G O P generates S; out: G O C -> D.
    qkv: D -> 3 D and attended: D -> D of the attention; expand and contract of the feed-forward layer; offsets:
    D -> G P 3 of the sampling points. None of these five has a bias: each stage brings its own.

    Starts with zero generator weights and torch's default biases, so the kernels do not depend on the query; zero
    offsets; Xavier uniform attention and feed-forward weights.

    Args:
        dim: D.
        num_groups: G; it divides D.
        num_points: P.
        num_out_points: O.
        out_bias: whether the output projection has a bias; a static residual brings its own.
        out_init: the output projection's weight: "xavier" uniform, as in AdaMixer, or torch's default for a
            "linear" layer, as in the published LORS model.
        ffn_dim: width of the shared feed-forward layer; None where attention, feed-forward layer and offsets
            belong to the stages.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_groups: int,
        num_points: int,
        num_out_points: int,
        out_bias: bool = True,
        out_init: OutInit = "xavier",
        ffn_dim: int | None = None,
    ) -> None:
        super().__init__()
        if dim % num_groups:
            raise ValueError(f"StageBase: num_groups={num_groups} does not divide dim={dim}")
        if out_init not in ("xavier", "linear"):
            raise ValueError(f'StageBase: out_init={out_init!r}; choose "xavier" or "linear"')
        group_dim = dim // num_groups
        self.out_init = out_init
        self.channel = nn.Linear(dim, num_groups * group_dim * group_dim)
        self.spatial = nn.Linear(dim, num_groups * num_out_points * num_points)
        self.out = nn.Linear(num_groups * num_out_points * group_dim, dim, bias=out_bias)
        self.with_layers = ffn_dim is not None
        if ffn_dim is not None:
            self.qkv = nn.Linear(dim, 3 * dim, bias=False)
            self.attended = nn.Linear(dim, dim, bias=False)
            self.expand = nn.Linear(dim, ffn_dim, bias=False)
            self.contract = nn.Linear(ffn_dim, dim, bias=False)
            self.offsets = nn.Linear(dim, num_groups * num_points * 3, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for linear in (self.channel, self.spatial, self.out):
            linear.reset_parameters()
        nn.init.zeros_(self.channel.weight)
        nn.init.zeros_(self.spatial.weight)
        if self.out_init == "xavier":
            nn.init.xavier_uniform_(self.out.weight)
        if self.with_layers:
            for linear in (self.qkv, self.attended, self.expand, self.contract):
                nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(self.offsets.weight)


def part(base: StageBase | None, name: str) -> nn.Linear | None:
    """A base's full-rank map; None where there is no base, or where it leaves that map to the stages."""
    return getattr(base, name, None)
