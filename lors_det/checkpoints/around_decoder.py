"""Whether a model is whole outside its decoder: queries, neck, and the backbone that it has."""

from __future__ import annotations

from mmdet.registry import MODELS
from torch import Tensor

from lors_det.state_diff import state_diff

_DECODER = "bbox_head.decoder."

BACKBONES = {
    "ResNet-50": dict(type="ResNet", depth=50),
    "ResNet-101": dict(type="ResNet", depth=101),
    "ResNeXt-101-32x4d-DCN": dict(
        type="ResNeXt",
        depth=101,
        groups=32,
        base_width=4,
        dcn=dict(type="DCN", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    ),
    "Swin-S": dict(type="SwinTransformer", depths=(2, 2, 18, 2)),
}
"""Backbones of published checkpoints."""


def check_around_decoder(state: dict[str, Tensor]) -> str:
    """Refuse a model whose neck, queries or backbone are not whole; returns the backbone's name.

    A backbone that none of :data:`BACKBONES` is cannot be checked, and its name says so.

    Raises:
        ValueError: it names the first weights that are missing, unknown or of another shape.
    """
    dim = len(state.get("neck.norm.weight", ()))
    wanted: dict[str, tuple[int | None, ...]] = {  # None: any size
        "bbox_head.queries.content": (None, dim),
        "neck.norm.weight": (dim,),
        "neck.norm.bias": (dim,),
    }
    for level in range(4):
        wanted[f"neck.laterals.{level}.weight"] = (dim, None, 1, 1)
        wanted[f"neck.laterals.{level}.bias"] = (dim,)
    name, backbone = _backbone_of(state)
    wanted |= {f"backbone.{key}": tuple(tensor.shape) for key, tensor in backbone.items()}
    own = {key: tensor for key, tensor in state.items() if not key.startswith(_DECODER)}
    diff = state_diff(own, wanted)
    if diff.words:
        raise ValueError(f"the weights outside the decoder do not make a whole ({diff.words})")
    return name


def _backbone_of(state: dict[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The published backbone with most of the checkpoint's names, and its weights; or the checkpoint's own."""
    own = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    if "layer3.22.conv2.conv_offset.weight" in own:
        name = "ResNeXt-101-32x4d-DCN"
    elif "patch_embed.projection.weight" in own:
        name = "Swin-S"
    else:
        name = "ResNet-101" if "layer3.6.conv1.weight" in own else "ResNet-50"
    if own and not _is_like(name, own):
        return "a backbone of its own, copied unchecked", own
    return name, MODELS.build(BACKBONES[name]).state_dict()


def _is_like(name: str, own: dict[str, Tensor]) -> bool:
    """Whether the first weights are those of the published backbone; a ResNet-18 has another first block."""
    first = {
        "Swin-S": ("patch_embed.projection.weight", (96, 3, 4, 4)),
        "ResNeXt-101-32x4d-DCN": ("layer1.0.conv3.weight", (256, 128, 1, 1)),
    }.get(name, ("layer1.0.conv3.weight", (256, 64, 1, 1)))
    return first[0] in own and tuple(own[first[0]].shape) == first[1]
