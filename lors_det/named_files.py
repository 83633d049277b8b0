"""Configs and checkpoints that an argument names.

They are looked for before what reads them is imported, which takes seconds. Configs of this package have names too,
``lors_det::FOLDER/NAME.py``: they travel under ``lors_det/.mim``, mmdet's convention; in a checkout, links lead there.
"""

from __future__ import annotations

import difflib
import glob
import re
from pathlib import Path

from lors_det.errors import InputError

PREFIX = "lors_det::"
CONFIGS = Path(__file__).parent / ".mim" / "configs"


def resolve_checkpoint_path(text: str | Path) -> Path:
    """The file of this machine that a CHECKPOINT argument names.

    Raises:
        InputError: if there is no such file; it names the one that may be meant.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        files = sorted(path.glob("*.pth"), key=lambda file: file.stat().st_mtime)
        remedy = f"name the file, for example {files[-1]}" if files else "it holds no checkpoint file (*.pth)"
        raise InputError(f"checkpoint {path} is a folder; {remedy}")
    if not path.is_file():
        # of those that a training keeps the last or the best of, another may have taken its place
        others = sorted(
            path.parent.glob(re.sub(r"\d+", "*", glob.escape(path.name))), key=lambda file: file.stat().st_mtime
        )
        hint = f"; its folder has {others[-1].name}" if others else ""
        raise InputError(f"checkpoint {path} does not exist{hint}")
    return path


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
