"""Folding: a LORS decoder as the plain per-stage decoder that computes the same."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lors_det.adamixer.decoder import Decoder


def folded_state(decoder: Decoder) -> dict[str, Tensor]:
    """State dict of the dense decoder that computes what ``decoder`` computes.

    Stage i's base is W_shared + its residuals (see ``AdaptiveResidual.fold`` and ``StaticResidual.fold``); the result
    belongs to a decoder of the same shape with ``share=(0, 1, ..., S - 1)`` and no residuals.
    """
    state = {}
    for number, (stage, share) in enumerate(zip(decoder.stages, decoder.share)):
        base = decoder.bases[share]
        for part in ("channel", "spatial", "out"):
            residual, linear = getattr(stage.mixing, part), getattr(base, part)
            weight, bias = (linear.weight, linear.bias) if residual is None else residual.fold(linear)
            state[f"bases.{number}.{part}.weight"] = weight.detach()
            state[f"bases.{number}.{part}.bias"] = bias.detach()
    private = ("mixing.channel.", "mixing.spatial.", "mixing.out.")
    for name, tensor in decoder.stages.state_dict(prefix="stages.").items():
        if not any(part in name for part in private):
            state[name] = tensor
    return state


def folded_arguments(arguments: Mapping[str, object], num_stages: int) -> dict[str, object]:
    """Arguments of the dense decoder, given those of the decoder that was folded."""
    dropped = ("share", "adaptive_rank", "adaptive_groups", "static_rank", "static_groups", "factor_init")
    kept = {name: value for name, value in arguments.items() if name not in dropped}
    return {"share": tuple(range(num_stages)), **kept}
