"""What a config changes of its bases, value by value."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lors_det.plugin.config.names import leaves

ABSENT = "-"
"""Stands for a key that one side lacks."""


def differences(path: Path, cfg: Config) -> list[tuple[str, Any, Any]]:
    """(key with dots, value of the bases, value of the config) wherever the two differ.

    Args:
        path: the config's file, whose ``_base_`` names the bases.
        cfg: the config as it takes effect.
    """
    before, after = (dict(leaves(_without_scopes(values))) for values in (_bases_of(path), cfg._cfg_dict))
    keys = dict.fromkeys((*before, *after))
    rows = [(key, before.get(key, ABSENT), after.get(key, ABSENT)) for key in keys]
    return [(key, old, new) for key, old, new in rows if key.partition(".")[0] in cfg and old != new]


def _without_scopes(value: Any) -> Any:
    """Without the ``_scope_`` that mmengine writes into what a base of a package holds."""
    if isinstance(value, Mapping):
        return {key: _without_scopes(item) for key, item in value.items() if key != "_scope_"}
    if isinstance(value, list | tuple):
        return type(value)(map(_without_scopes, value))
    return value


def _bases_of(path: Path) -> Mapping[str, Any]:
    """The bases of a config file, merged; empty if it has none."""
    bases = Config._get_base_files(str(path))
    if not bases:
        return {}
    files = [Config._get_cfg_path(base, str(path))[0] for base in ([bases] if isinstance(bases, str) else bases)]
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder, "bases.py")
        merged.write_text(f"_base_ = {[str(Path(file).resolve()) for file in files]!r}\n", encoding="utf-8")
        return Config.fromfile(merged)._cfg_dict
