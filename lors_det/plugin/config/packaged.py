"""Configs of the installed package, by name: ``lors_det::shapes/...`` on the command line and in ``_base_``.

Configs, tools and the model index travel under ``lors_det/.mim``, mmdet's convention; in a checkout, links lead there.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from mmengine.config.utils import MODULE2PACKAGE

import lors_det
from lors_det.errors import InputError

PREFIX = "lors_det::"
CONFIGS = Path(lors_det.__file__).parent / ".mim" / "configs"


def register() -> None:
    """Make the prefix known to mmengine: in ``_base_``, and for ``mmengine.hub.get_config``.

    mmengine has no place where a package could say so before it is imported: stock code that is to read such a config
    imports ``lors_det.plugin`` first. ``custom_imports`` come too late, for they are run when a config has been read.
    """
    # A module's name in place of the distribution's: mmengine joins a distribution's location and name to a folder,
    # which does not exist where the install is editable, but takes a module's folder from where Python finds it.
    MODULE2PACKAGE["lors_det"] = "lors_det.registry"


def resolve_config_path(text: str | Path) -> Path:
    """The file that a CONFIG argument names: a path, or ``lors_det::FOLDER/NAME.py`` for one of this package.

    Raises:
        InputError: if there is no such file; it lists those of nearly the same name.
    """
    text = str(text)
    named = text.startswith(PREFIX)
    path = CONFIGS / text.removeprefix(PREFIX) if named else Path(text)
    if path.is_file():
        return path.resolve() if named else path
    if path.is_dir() and path != CONFIGS:
        raise InputError(f"config {text} is a folder; name a file in it")
    near = _near(path)
    remedy = f"near it are {', '.join(near)}" if near else f"the configs of this package are in {CONFIGS}"
    raise InputError(f"config {text} does not exist; {remedy}")


def _near(path: Path) -> list[str]:
    """Three configs at most, called nearly like a path: beside it, and of this package."""
    leaves = (leaf for leaf in CONFIGS.rglob("*.py") if not leaf.is_relative_to(CONFIGS / "_base_"))
    known = {f"{PREFIX}{leaf.relative_to(CONFIGS).as_posix()}": leaf for leaf in sorted(leaves)}
    if not path.is_relative_to(CONFIGS):
        known = {**{str(beside): beside for beside in sorted(path.parent.glob("*.py"))}, **known}
    likeness = {name: _likeness(path, other) for name, other in known.items()}
    return [name for name in sorted(known, key=likeness.__getitem__, reverse=True)[:3] if likeness[name] > 0.65]


def _likeness(path: Path, other: Path) -> float:
    """From 0 to 1, half of it of the files' names alone and half with their folders'."""
    pairs = ((path.stem, other.stem), (f"{path.parent.name}/{path.stem}", f"{other.parent.name}/{other.stem}"))
    return sum(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs) / 2
