"""Which intermediate maps of a model of timm are the levels, and what each is made of: found on shapes alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lors_det.errors import InputError
from lors_det.plugin.backbones.weights import STRIDES

_KEY = "model.backbone"


@dataclass(frozen=True)
class TimmLevels:
    """Levels of a model of timm; see :func:`find_levels`."""

    indices: tuple[int, ...]
    """Places among the intermediate maps: four, or one of a plain ViT."""
    channels: tuple[int, ...]
    """Of each."""
    plain: bool
    """The model has maps of one stride only."""
    patch: int
    """That stride, pixels of what the model is given; of other models the first level's."""
    reached: tuple[frozenset[str], ...]
    """Names of the parameters that each level depends on."""

    @property
    def used(self) -> frozenset[str]:
        """Names of the parameters that any level depends on."""
        return frozenset().union(*self.reached)

    @property
    def token_stride(self) -> int:
        """Of a plain ViT, the power of 2 nearest its patch: pixels of the input that a patch is to cover."""
        return min(max(2 ** round(math.log2(self.patch)), STRIDES[0]), STRIDES[-1])

    def prune(self, model: Any) -> None:
        """Remove from a model what comes after the last level; the norm stays with a plain ViT."""
        model.prune_intermediate_layers(list(self.indices), prune_norm=not self.plain, prune_head=True)

    def read(self, model: Any, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) to the maps (B, C, H / s, W / s)."""
        return model.forward_intermediates(
            images, indices=list(self.indices), norm=self.plain, output_fmt="NCHW", intermediates_only=True
        )

    def frozen(self, stages: int, depths: Mapping[str, int]) -> frozenset[str]:
        """Names of the parameters in the stem and the first stages: levels, or blocks of a plain ViT.

        Args:
            stages: -1 for nothing, 0 for the stem alone.
            depths: of each parameter, from the stem's 0.
        """
        if self.plain or stages < 1:
            return frozenset(name for name, depth in depths.items() if depth <= stages)
        return self.reached[stages - 1]


def find_levels(model: Any, model_name: str, out_indices: Sequence[int] | None) -> TimmLevels:
    """The last map of each stride 4, 8, 16 and 32, or the last map where all have one stride.

    Args:
        model: of timm, whole and on the meta device; it is pruned.
        model_name: for messages.
        out_indices: maps to take in their place.

    Raises:
        InputError: if there are no such maps, or pictures of another size than the model's own are refused.
    """
    strides = _strides(model, model_name)
    plain = len(set(strides)) == 1
    wanted = (strides[0],) if plain else STRIDES
    if any(stride not in strides for stride in wanted) or strides[0] is None:
        raise InputError(
            f"config key {_KEY}.model_name is {model_name!r}, whose maps have strides {strides}; a backbone needs "
            f"maps of {STRIDES}, or of one stride alone, as a plain ViT has"
        )
    indices = tuple(
        [len(strides) - 1 - strides[::-1].index(stride) for stride in wanted] if out_indices is None else out_indices
    )
    if not all(isinstance(place, int) and 0 <= place < len(strides) for place in indices) or wanted != tuple(
        strides[place] for place in indices
    ):
        raise InputError(
            f"config key {_KEY}.out_indices is {list(indices)}; it must name maps of strides {wanted}. Strides of "
            f"maps 0 to {len(strides) - 1} of {model_name}: {strides}"
        )
    levels = TimmLevels(indices, (), plain, strides[indices[0]] or 0, ())
    levels.prune(model)
    names, parameters = zip(*model.named_parameters())
    maps = levels.read(model, _picture(model))
    reached = []
    for features in maps:
        gradients = torch.autograd.grad(features.sum(), parameters, retain_graph=True, allow_unused=True)
        reached.append(frozenset(name for name, gradient in zip(names, gradients) if gradient is not None))
    return replace(levels, channels=tuple(features.shape[1] for features in maps), reached=tuple(reached))


def _strides(model: Any, model_name: str) -> list[int | None]:
    """Of every intermediate map; None where it is no whole number, or not the same in both directions."""
    picture = _picture(model)
    height, width = picture.shape[-2:]
    try:
        maps = model.eval().forward_intermediates(picture, output_fmt="NCHW", intermediates_only=True)
    except Exception as error:  # each architecture refuses in its own way
        raise InputError(
            f"config key {_KEY}.model_name is {model_name!r}, which does not run on pictures of {width} x {height} "
            f"pixels ({type(error).__name__}: {error}); choose a model that takes any size"
        ) from error
    ratios = [(height / features.shape[-2], width / features.shape[-1]) for features in maps]
    return [int(down) if down == across == int(down) else None for down, across in ratios]


def _picture(model: Any) -> Tensor:
    """Two by four of the least squares that all of the model's strides divide, of shapes alone."""
    info = model.feature_info
    strides = [level["reduction"] for level in getattr(info, "info", info)]
    unit = math.lcm(STRIDES[-1], *strides)
    return torch.zeros(1, 3, 2 * unit, 4 * unit, device="meta")
