"""Modules of a model that a config names."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from torch import nn

from lors_det.errors import InputError
from lors_det.plugin.unwrapped import unwrapped


def named_modules(modules: Any, model: Any, key: str) -> dict[str, nn.Module]:
    """Those that are named, by name.

    Args:
        modules: a name, a list of names, or None for none.
        model: the detector, wrapped or not.
        key: of the config, which names them.

    Raises:
        InputError: if these are no names, or a name is that of no module.
    """
    if not (modules is None or isinstance(modules, (str, list, tuple))) or any(
        not isinstance(name, str) for name in modules or ()
    ):
        raise InputError(f"config key {key} is {modules!r}; it must be the name of a module, or a list of them")
    names = [modules] if isinstance(modules, str) else list(modules or ())
    known = {name: module for name, module in unwrapped(model).named_modules() if name}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise InputError(
                f"config key {key} names {name!r}, which is no module" + (f"; {near[0]} is" if near else "")
            )
    return {name: known[name] for name in names}
