"""Values of a model that its weights do not show, and without which they compute something else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from lors_det.adamixer import DecoderSpec
from lors_det.errors import InputError
from lors_det.plugin.head import AdaMixerHead
from lors_det.plugin.saving.stored_config import config_of

OF_DECODER = ("share", "strides", "residual_scale")
"""Fields of :class:`DecoderSpec` that leave the shapes of all weights as they are."""

PUBLISHED: dict[str, Any] = {
    "query_start": "image",
    "decoder.strides": (4, 8, 16, 32),
    "decoder.residual_scale": 1.0,
}
"""Those of the published models, but for ``share``, which the names of published weights show."""

META = "not_in_weights"
"""Where a checkpoint's ``meta`` has these values if it carries no config, as one of converted published names."""


def of_training(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Those of the config that a checkpoint carries, by key below ``model.bbox_head``; None if it tells none."""
    try:
        cfg = config_of(checkpoint, "the checkpoint's config")
    except InputError:  # its config is no data
        return None
    if cfg is not None:
        return of_config(cfg)
    values = (checkpoint.get("meta") or {}).get(META)
    return dict(values) if isinstance(values, Mapping) else None


def of_config(cfg: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Those of a config; None if it is of no model of this project."""
    head = ((cfg or {}).get("model") or {}).get("bbox_head") or {}
    decoder = head.get("decoder")
    if not isinstance(decoder, Mapping):
        return None
    try:
        # cache_folds is of version 0.1.0; it changed no result
        spec = DecoderSpec(**{name: value for name, value in decoder.items() if name != "cache_folds"})
    except (TypeError, ValueError):
        return None
    return _values(head.get("query_start", "image"), spec)


def of_model(model: nn.Module) -> dict[str, Any] | None:
    """Those of a detector; None if it is of another project."""
    head = getattr(model, "bbox_head", None)
    return _values(head.queries.start, head.decoder.spec) if isinstance(head, AdaMixerHead) else None


def differences(
    trained: Mapping[str, Any] | None, own: Mapping[str, Any] | None, ignore: Collection[str] = ()
) -> list[str]:
    """Each value that is another than in training, in words; none where either is not known."""
    pairs = [(name, value, (own or {}).get(name, value)) for name, value in (trained or {}).items()]
    return [
        f"model.bbox_head.{name} is {here!r}, and was {value!r} in training"
        for name, value, here in pairs
        if here != value and name not in ignore
    ]


def check_values(
    trained: Mapping[str, Any] | None, own: Mapping[str, Any] | None, where: str, ignore: Collection[str] = ()
) -> None:
    """Refuse a model of which the weights fit, and which computes something else with them.

    Args:
        trained: of the checkpoint.
        own: of the model that gets its weights.
        where: names the checkpoint.
        ignore: keys that may differ.

    Raises:
        InputError: if a value differs; it names both.
    """
    if words := differences(trained, own, ignore):
        raise InputError(
            f"{where} fits by its weights alone: {'; '.join(words)}; use the config that it was trained with, or set "
            "the value back"
        )


def _values(query_start: str, spec: DecoderSpec) -> dict[str, Any]:
    return {"query_start": query_start} | {f"decoder.{name}": getattr(spec, name) for name in OF_DECODER}
