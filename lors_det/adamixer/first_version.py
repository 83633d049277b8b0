"""Names that version 0.1.0 gave a decoder's weights."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lors_det.adamixer.spec import DecoderSpec

_PLACES = {
    "channel": "mixing.channel",
    "spatial": "mixing.spatial",
    "out": "mixing.out",
    "qkv": "attention.qkv",
    "attended": "attention.out",
    "expand": "ffn.layers.0",
    "contract": "ffn.layers.2",
    "offsets": "sampling.offsets",
}
"""Part of a base: its place in a stage."""


def is_first_version(names: Iterable[str]) -> bool:
    """Whether a decoder's state dict has these names."""
    return any(re.match(r"(bases|stages)\.\d+\.", name) for name in names)


def current_name(name: str, spec: DecoderSpec) -> str:
    """Today's name of a decoder's weight."""
    if found := re.fullmatch(r"bases\.(\d+)\.(\w+)\.(weight|bias)", name):
        base, part, leaf = found.groups()
        owner = f"stages.{spec.share.index(int(base))}" if spec.is_plain else f"bases.{base}"
        return f"stack.{owner}.{_PLACES[part]}.{leaf}" if part in _PLACES else name
    if found := re.fullmatch(r"stages\.(\d+)\.(mixing\.(?:channel|spatial)\..+)", name):
        return f"stack.residuals.{found[1]}.{found[2]}"
    if found := re.fullmatch(r"stages\.(\d+)\.(.+)\.(up|down)", name):
        return f"stack.residuals.{found[1]}.{found[2]}.weight.{found[3]}"
    return f"stack.{name}" if name.startswith("stages.") else name
