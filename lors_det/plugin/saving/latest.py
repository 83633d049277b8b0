"""The checkpoint that a run goes on from: the last one that can be read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from lors_det.errors import InputError
from lors_det.plugin.saving.safe_loading import load_from_local

LAST = "last_checkpoint"
"""The file of a work dir that names it, as mmengine writes it."""


class Found(NamedTuple):
    """A checkpoint and what is in it."""

    path: Path
    content: dict[str, Any]


def latest_checkpoint(work_dir: str | Path) -> Found | None:
    """A work dir's last checkpoint that is whole, None where it has none; damaged ones are told of on stderr.

    Raises:
        InputError: if there are checkpoints, and none of them can be read.
    """
    faults = []
    note = Path(work_dir, LAST)
    for path in candidates(Path(work_dir)):
        named = note.is_file() and Path(note.read_text().strip()).name == path.name
        try:
            found = Found(path, load_from_local(str(path), "cpu"))
        except InputError as error:
            faults.append(str(error))
            continue
        if not named and not {"meta", "optimizer"} <= found.content.keys():
            continue  # weights alone, such as published ones
        for fault in faults:
            print(f"warning: {fault}; {path.name} is used in its place", file=sys.stderr)
        return found
    if faults:
        raise InputError(
            "\n".join([*faults, f"no checkpoint of {work_dir} can be read: start anew, in another folder"])
        )
    return None


def candidates(work_dir: Path) -> list[Path]:
    """Checkpoints that can be resumed, the last first: the one that the work dir names, then others by their time.

    Those named ``best_...`` hold weights alone.
    """
    others = [path for path in work_dir.glob("*.pth") if not path.name.startswith("best_") and path.is_file()]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    note = work_dir / LAST
    if not note.is_file():
        return others
    named = Path(note.read_text().strip())
    # the folder's own file first: a folder that was moved or copied still names that of its former place
    if (work_dir / named.name).is_file() or not named.is_file():
        named = work_dir / named.name
    resolved = named.resolve()
    first = [path for path in others if path.resolve() == resolved] or ([named] if named.is_file() else [])
    return [*first, *(path for path in others if path.resolve() != resolved)]
