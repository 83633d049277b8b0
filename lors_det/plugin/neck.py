"""Backbone levels to equally wide levels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from lors_det.errors import InputError


@MODELS.register_module()
class SharedNormNeck(BaseModule):
    """One 1x1 convolution a level, then one GroupNorm whose affine weights all levels share.

    mmdet's ChannelMapper gives each level a norm of its own, which is another model.

    Starts with Xavier uniform weights and zero biases.

    Args:
        in_channels: channels of each level, the backbone's ``out_channels``.
        out_channels: D.
        num_norm_groups: groups of the norm.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int = 256, *, num_norm_groups: int = 32) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, out_channels, 1) for channels in in_channels)
        self.norm = nn.GroupNorm(num_norm_groups, out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        laterals: Iterable[Any] = self.laterals  # convolutions, each with a bias
        for lateral in laterals:
            nn.init.xavier_uniform_(lateral.weight)
            nn.init.zeros_(lateral.bias)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Levels (B, in_l, H_l, W_l) to (B, D, H_l, W_l).

        Raises:
            InputError: if the levels are not those of ``in_channels``; it names what the backbone gives.
        """
        laterals: Iterable[Any] = self.laterals
        expected = [lateral.in_channels for lateral in laterals]
        given = [level.shape[1] for level in levels]
        if given != expected:
            raise InputError(
                f"config key model.neck.in_channels is {expected}, but the backbone gives {len(given)} levels of "
                f"{given} channels; set it to {given}"
            )
        return tuple(self.norm(lateral(level)) for lateral, level in zip(self.laterals, levels))
