"""Values of a model that its weights do not show, and without which they compute something else.

Those of the head and of what images go through before the model. A backbone or neck may have more, such as the groups
of a norm; of these only ``style`` is known here, where a ResNet strides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lors_det.errors import InputError
from lors_det.plugin.saving.stored_config import config_of

_DEFAULTS: dict[str, Any] = {
    "bbox_head.query_start": "image",
    "bbox_head.decoder.share": None,
    "bbox_head.decoder.strides": (4, 8, 16, 32),
    "bbox_head.decoder.residual_scale": 1.0,
    "data_preprocessor.mean": None,
    "data_preprocessor.std": None,
    "data_preprocessor.bgr_to_rgb": False,
    "data_preprocessor.rgb_to_bgr": False,
    "backbone.style": None,
}
"""By key below ``model``: what holds where a config does not say."""

_HEAD = "bbox_head."

PUBLISHED = {
    name: value for name, value in _DEFAULTS.items() if name.startswith(_HEAD) and name != "bbox_head.decoder.share"
}
"""Those of the published models' heads, but for ``share``, which the names of published weights show."""

FACTORISED = ("bbox_head.decoder.share", "bbox_head.decoder.residual_scale")
"""Those that a factorisation is meant to change."""

META = "not_in_weights"
"""Where a checkpoint's ``meta`` has these values if it carries no config, as one of converted published names."""


def of_training(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Those of the config that a checkpoint carries; None if it tells none."""
    try:
        cfg = config_of(checkpoint, "the checkpoint's config")
    except InputError:  # its config is no data
        return None
    if cfg is not None:
        return of_config(cfg)
    values = (checkpoint.get("meta") or {}).get(META)
    return dict(values) if isinstance(values, Mapping) else None


def of_config(cfg: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Those of a config, by key below ``model``; None if it is of no model of this project."""
    model = (cfg or {}).get("model")
    if _at(model, "bbox_head.decoder.share") is None:
        return None
    found = {name: _at(model, name) for name in _DEFAULTS}
    return {name: _DEFAULTS[name] if value is None else value for name, value in found.items()}


def differences(
    trained: Mapping[str, Any] | None, own: Mapping[str, Any] | None, ignore: Collection[str] = ()
) -> list[str]:
    """Each value that is another than in training, in words; none where either is not known."""
    pairs = [(name, value, (own or {}).get(name, value)) for name, value in (trained or {}).items()]
    return [
        f"model.{name} is {here!r}, and was {value!r} in training"
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


def _at(part: Any, name: str) -> Any:
    """The value at a key with dots, lists as tuples; None where there is none."""
    for key in name.split("."):
        part = part.get(key) if isinstance(part, Mapping) else None
    return tuple(part) if isinstance(part, (list, range)) else part
