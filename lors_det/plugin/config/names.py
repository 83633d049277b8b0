"""Names at the top level of a config: what no part of the Runner reads is dropped, or refused.

mmengine keeps every top-level name of a config and of its bases. What bases leave, such as the values that a child
chooses from, is dropped after reading; a name that a user sets and nothing reads is an error.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio import load
from mmengine.runner import Runner

from lors_det.errors import InputError

READ = frozenset(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"} | {
    # by Runner, from the whole config
    *("activation_checkpointing", "compile", "efficient_conv_bn_eval", "find_unused_parameters", "model_wrapper_cfg"),
    "sync_bn",
    "custom_imports",  # by Config
    *("tta_model", "tta_pipeline"),  # by the commands
}
"""Top-level keys of a config that something reads."""

_TOO_LATE = {
    "custom_imports": "modules are imported while the config file is read; name them there",
    "launcher": "the option --launcher names it",
}

_SURELY_MISSPELLED = 0.9
"""Similarity to a key that something reads, above which a base's name is taken for a misspelling of it."""


def drop_unread_names(cfg: Config, path: Path) -> None:
    """Drop top-level names that nothing reads from a config that was read from a file.

    Names that begin with an underscore, that the file itself uses, or that its bases leave are dropped.

    Raises:
        InputError: if the file sets a name that neither it nor anything else reads, or a base sets one that is spelled
            nearly as a real key.
    """
    own, used = _names_in(path)
    for name in [name for name in cfg if name not in READ]:
        misspelled = get_close_matches(name, READ, n=1, cutoff=_SURELY_MISSPELLED)
        if not name.startswith("_") and name not in used and (name in own or misspelled):
            where = f"in {path}" if name in own else f"in a base of {path}"
            hint = nearest(cfg, name, READ) or _alike(cfg, name)
            raise InputError(f"config key {name}, {where}, is read by nothing{hint}")
        cfg.pop(name)


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse ``--cfg-options`` whose first part no part of the Runner reads, or that come too late to have an effect.

    Raises:
        InputError: it names the key, and the nearest that is read.
    """
    for key in options:
        first = key.partition(".")[0]
        if first in _TOO_LATE:
            raise InputError(f"--cfg-options {key} has no effect: {_TOO_LATE[first]}")
        if first not in READ:
            raise InputError(f"--cfg-options {key} is read by nothing{nearest(cfg, key, READ)}")


def nearest(cfg: Config, where: str, siblings: Collection[str] | None) -> str:
    """Words that name the real key that a wrong one probably stands for; empty if none is near.

    Args:
        cfg: the config.
        where: the wrong key, with dots.
        siblings: keys that its place takes.
    """
    parent, _, key = where.rpartition(".")
    paths = list(dotted(cfg._cfg_dict))
    found = [f"{parent}.{name}".lstrip(".") for name in get_close_matches(key, siblings or (), n=1)]
    found += [path for path in paths if path != where and path.rpartition(".")[2] == key]
    if not parent:
        ends = {path.rpartition(".")[2]: path for path in paths if path != where}
        found += [ends[end] for end in get_close_matches(key, ends, n=1, cutoff=0.8)]
    return f"; did you mean {found[0]}?" if found else ""


def _alike(cfg: Config, name: str) -> str:
    """Words that name the dictionary that has all keys of the one of that name; empty if none has."""
    keys = set(cfg[name]) if isinstance(cfg[name], Mapping) else set()
    places = {path.rpartition(".")[0] for path in dotted(cfg._cfg_dict)} - {"", name}
    found = [place for place in sorted(places) if keys and keys <= set(_get(cfg, place))]
    return f"; did you mean {found[0]}?" if found else ""


def _get(cfg: Config, place: str) -> Mapping[str, Any]:
    value: Any = cfg._cfg_dict
    for key in place.split("."):
        value = value[key]
    return value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by key with dots; lists, whose entries have no names of their own, are values as a whole."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


def dotted(value: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Every key of nested dictionaries, as ``--cfg-options`` writes them."""
    for key, item in value.items():
        yield f"{path}{key}"
        if isinstance(item, Mapping):
            yield from dotted(item, f"{path}{key}.")


def _names_in(path: Path) -> tuple[set[str], set[str]]:
    """Names that a config file sets at its top level, and names that it uses."""
    if path.suffix != ".py":
        return set(load(str(path))), set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return (
        {name.id for name in names if isinstance(name.ctx, ast.Store)},
        {name.id for name in names if isinstance(name.ctx, ast.Load)},
    )
