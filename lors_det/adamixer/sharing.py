"""Which weights of the stages a decoder shares, and how each stage corrects them."""

from __future__ import annotations

from typing import Any

from lors_det.adamixer.spec import DecoderSpec
from lors_det.lors import MakeResidual, adaptive, static

LAYERS = ("attention.qkv", "attention.out", "ffn.layers.0", "ffn.layers.2", "sampling.offsets")
"""Linear layers beside the mixing, whose weights LORS+ shares; biases belong to the stages."""


def residuals(spec: DecoderSpec) -> dict[str, MakeResidual | None]:
    """What a decoder's stages share, by name, and how it is corrected; see :class:`lors_det.lors.SharedStack`."""
    if spec.is_plain:
        return {}
    kernels = {
        "mixing.channel": (spec.group_dim, spec.group_dim),
        "mixing.spatial": (spec.num_out_points, spec.num_points),
    }
    corrections: dict[str, Any] = {
        "scale": spec.residual_scale,
        "gain": spec.residual_gain,
        "start": spec.residual_start,
    }
    shared: dict[str, MakeResidual | None] = dict.fromkeys((*kernels, "mixing.out.weight"))
    if spec.adaptive_groups is not None:
        for name, shape in kernels.items():
            shared[name] = adaptive(
                shape,
                num_groups=spec.num_groups,
                rank=spec.adaptive_rank,
                num_residuals=spec.adaptive_groups,
                factor_init=spec.factor_init,
                **corrections,
            )
    if spec.static_groups is None:
        shared["mixing.out.bias"] = None
    else:
        shared["mixing.out.weight"] = static(rank=spec.static_rank, num_groups=spec.static_groups, **corrections)
    if spec.layer_rank:
        shared |= {f"{layer}.weight": static(rank=spec.layer_rank, **corrections) for layer in LAYERS}
        # the offset generator's weight starts at zero
        shared["sampling.offsets.weight"] = static(rank=spec.layer_rank, **corrections | {"start": 0.0})
    return shared
