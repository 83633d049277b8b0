"""Folding: a LORS decoder as the plain per-stage decoder that computes the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from lors_det.adamixer.base import PARTS, part
from lors_det.adamixer.decoder import Decoder
from lors_det.adamixer.stage import Stage
from lors_det.lors import AdaptiveResidual, StaticResidual


def folded_state(decoder: Decoder) -> dict[str, Tensor]:
    """State dict of the dense decoder that computes what ``decoder`` computes.

    Stage i's weights are the base's + its residuals (see ``AdaptiveResidual.fold`` and ``StaticResidual.fold``); the
    result belongs to a decoder of the same shape with ``share=(0, 1, ..., S - 1)`` and no residuals.
    """
    state = dict(decoder.stages.state_dict(prefix="stages."))
    for number, (stage, base) in enumerate(decoder.stages_with_bases()):
        for name, place in PARTS.items():
            full, own = part(base, name), _at(stage, place)
            if isinstance(own, AdaptiveResidual | StaticResidual):
                for residual in own.state_dict():
                    del state[f"stages.{number}.{place}.{residual}"]
                weight, bias = own.fold(full)
            elif own is None:
                assert full is not None  # only residuals are ever alone
                weight, bias = full.weight, full.bias
            else:
                continue  # the stage's own layer
            target = f"bases.{number}.{name}" if place.startswith("mixing.") else f"stages.{number}.{place}"
            state[f"{target}.weight"], state[f"{target}.bias"] = weight.detach(), bias.detach()
    return state


def folded_arguments(arguments: Mapping[str, Any], num_stages: int) -> dict[str, Any]:
    """Arguments of the dense decoder, given those of the decoder that was folded."""
    dropped = (
        "share",
        "adaptive_rank",
        "adaptive_groups",
        "static_rank",
        "static_groups",
        "layer_rank",
        "factor_init",
        "cache_folds",
    )
    kept = {name: value for name, value in arguments.items() if name not in dropped}
    return {"share": tuple(range(num_stages)), **kept}


def _at(stage: Stage, place: str) -> nn.Module | None:
    """A stage's submodule by its dotted name; None where the stage has no residual there."""
    *path, last = place.split(".")
    found: nn.Module | None = getattr(stage.get_submodule(".".join(path)), last)
    return found
