"""Four levels from the one map of a plain vision transformer."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lors_det.plugin.backbones.weights import STRIDES


class SimplePyramid(nn.Module):
    """ViTDet's simple feature pyramid (Li et al. 2022, section 3): every level from the last map alone.

    A level of twice the resolution is a deconvolution of half the channels, one of four times is two with a norm and
    a GELU in between; the map's own resolution is the map, and lower ones are maxima of 2 x 2. The convolutions that
    bring all levels to one width are the neck's.

    Starts with torch's random deconvolutions, and norms that are identities.

    Attributes:
        out_channels: of the four levels.

    Args:
        dim: channels of the map.
        stride: of the map, a power of 2, pixels of the input.
    """

    def __init__(self, dim: int, stride: int = 16) -> None:
        super().__init__()
        self.stride = stride
        self.raise_to = nn.ModuleDict(
            {str(finer): _doublings(dim, (stride // finer).bit_length() - 1) for finer in STRIDES if finer < stride}
        )
        self.out_channels = tuple(dim * min(level, stride) // stride for level in STRIDES)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Map (B, C, h, w) to levels (B, out_channels[l], h stride / s_l, w stride / s_l), s = 4, 8, 16, 32.

        Where a lower level does not divide the map, it covers what is left over, as strided convolutions do.
        """
        levels: list[Tensor] = []
        for stride in STRIDES:
            if stride < self.stride:
                levels.append(self.raise_to[str(stride)](features))
            elif stride == self.stride:
                levels.append(features)
            else:
                factor = stride // self.stride
                levels.append(F.max_pool2d(features, factor, ceil_mode=True))
        return tuple(levels)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each place, (B, C, H, W) to the same.

    A subclass of torch's norm, so that rules for the decay of norms know it.
    """

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _doublings(dim: int, num: int) -> nn.Sequential:
    widths = pairwise(dim // 2**number for number in range(num + 1))
    steps: Iterable[list[Any]] = (
        [ChannelNorm(wide), nn.GELU(), nn.ConvTranspose2d(wide, narrow, 2, stride=2)] for wide, narrow in widths
    )
    return nn.Sequential(*[module for step in steps for module in step][2:])  # the first has no norm before it
