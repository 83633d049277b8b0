"""How deep in a backbone each parameter is, for learning rates that fall towards the picture.

Layers near the picture are general and change little when a pretrained backbone is trained further (layer-wise
learning rate decay of ELECTRA, BEiT and ViTDet).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from mmdet.models.backbones import ResNet, SwinTransformer
from torch import nn

from lors_det.errors import InputError

_KEY = "optim_wrapper.paramwise_cfg.layer_decay"
_Place = tuple[int, ...]


def layer_scales(model: nn.Module, decay: float) -> dict[str, float]:
    """What to multiply the learning rate of each parameter of ``model.backbone`` by.

    Layer k of K layers, from the stem's k = 0, gets decay^(K - k): the last one gets the decay once, as in BEiT and
    ViTDet, where what follows the backbone is layer K. What a backbone holds beside its pretrained layers, such as a
    plain ViT's pyramid and the norms that mmdet puts after Swin's levels, counts as following it.

    Args:
        model: a detector.
        decay: in (0, 1].

    Returns:
        Scales by the parameter's name in the model; what is not named has 1.

    Raises:
        InputError: if the decay is not in that range, or the model has no ``backbone``, or one of a single layer.
    """
    if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 < decay <= 1:
        raise InputError(f"config key {_KEY} is {decay!r}; it must be above 0, and at most 1, which changes nothing")
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        raise InputError(f"config key {_KEY} is set, but {type(model).__name__} has no backbone; leave it out")
    depths, num_layers = backbone_depths(backbone)
    if num_layers == 1:
        raise InputError(
            f"config key {_KEY} is set, and the layers of {type(backbone).__name__} are not told apart, so that all "
            "would have one rate; give the backbone a method parameter_depths(), or leave it out"
        )
    return {f"backbone.{name}": decay ** (num_layers - depth) for name, depth in depths.items()}


def backbone_depths(backbone: nn.Module) -> tuple[dict[str, int], int]:
    """Depth k of each parameter that is in a layer, by name, and K.

    A backbone says it itself by a method ``parameter_depths()``; those of this package do. Of mmdet's, each residual
    block of ResNet and its kin, and each block of Swin is a layer. Of others, each child is, in their order.
    """
    own: Any = getattr(backbone, "parameter_depths", None)
    if own is not None:
        return own()
    if isinstance(backbone, ResNet):
        depths = _numbered(backbone, _place_in_resnet)
    elif isinstance(backbone, SwinTransformer):
        depths = _numbered(backbone, _place_in_swin)
    else:
        depths = depths_by_children(backbone)
    return depths, max(depths.values(), default=0) + 1


def depths_by_children(module: nn.Module) -> dict[str, int]:
    """Depth by name: 0 for a module's own parameters and its first child that has any, 1 for the second, and so on.

    Where a single child, a list of modules, has all layers, they are its children.
    """
    children = [name for name, child in module.named_children() if any(True for _ in child.parameters())]
    if len(children) == 1 and isinstance(only := module.get_submodule(children[0]), (nn.ModuleList, nn.Sequential)):
        inner = {f"{children[0]}.{name}": depth for name, depth in depths_by_children(only).items()}
        return {name: inner.get(name, 0) for name, _ in module.named_parameters()}
    places = {name: place for place, name in enumerate(children)}
    return {name: places.get(name.partition(".")[0], 0) for name, _ in module.named_parameters()}


def _numbered(backbone: nn.Module, place: Callable[[str], _Place | None]) -> dict[str, int]:
    """Depths from places that are in order but are no numbers without gaps."""
    found = {name: place(name) for name, _ in backbone.named_parameters()}
    places = {name: at for name, at in found.items() if at is not None}
    order = {at: depth for depth, at in enumerate(sorted(set(places.values())))}
    return {name: order[at] for name, at in places.items()}


def _place_in_resnet(name: str) -> _Place:
    """``layer3.5.conv1.weight``: layer 3, block 5; what is in no layer is the stem."""
    found = re.match(r"layer(\d+)\.(\d+)\.", name)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _place_in_swin(name: str) -> _Place | None:
    """``stages.2.blocks.17.norm1.weight``: stage 3, block 17.

    The downsampling at the end of a stage goes with the next one's first block.
    """
    if found := re.match(r"stages\.(\d+)\.blocks\.(\d+)\.", name):
        return int(found[1]) + 1, int(found[2])
    if found := re.match(r"stages\.(\d+)\.downsample\.", name):
        return int(found[1]) + 2, 0
    return None if re.match(r"norm\d+\.", name) else (0, 0)
