"""The repaired copy of a case on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lors_det.data.coco.files import REPAIRED_FROM
from lors_det.data.doctor.case import Case
from lors_det.data.doctor.repair import Repair, repair
from lors_det.data.splits import SPLITS
from lors_det.data.words import counted
from lors_det.errors import InputError
from lors_det.files import write_whole


def write_repaired(case: Case, out: Path, *, fix_classes: bool = False) -> Repair:
    """Repair a case (:func:`lors_det.data.doctor.repair.repair`) and write ``out``/annotations/{train,val,test}.json.

    An earlier repair of the same data is replaced, a split that the data no longer has is removed with it.

    Raises:
        InputError: if ``out`` is a file, holds anything else, holds the annotations themselves, or is in their folder;
            or if images that are there cannot be read, which a repair would drop.
    """
    kept = {split.annotation_file.resolve() for split in case.folder.splits.values() if split.annotation_file}
    targets = {name: out / "annotations" / f"{name}.json" for name in SPLITS}
    if out.resolve() == case.folder.root.resolve() or kept & {path.resolve() for path in targets.values()}:
        raise InputError(f"a repaired copy in {out} would write over the annotations themselves; name another folder")
    check_apart(out, case.folder.root)
    _check_readable(case)
    origin = Path(os.path.relpath(case.folder.root.resolve(), out.resolve())).as_posix()
    _check_free(out, targets.values(), origin)
    mended = repair(case, out, fix_classes=fix_classes)
    (out / "annotations").mkdir(parents=True, exist_ok=True)
    splits = mended.case.folder.splits
    for name, path in targets.items():
        if name in splits:
            _write(path, splits[name].content, origin)
        else:
            path.unlink(missing_ok=True)
    return mended


def check_apart(out: Path, place: Path) -> None:
    """Refuse a place in the folder of the data: the next to read that would find the copy, and not what it is of.

    Raises:
        InputError: if ``out`` is below ``place``.
    """
    if place.is_dir() and place.resolve() in out.resolve().parents:
        raise InputError(
            f"a repaired copy in {out} would be read in place of the annotations that it is of, as it is in their "
            f"folder, {place}; name a folder beside it"
        )


def _check_readable(case: Case) -> None:
    unreadable = sorted(path for path, facts in case.facts.items() if facts.problem == "unreadable")
    if unreadable:
        raise InputError(
            f"{counted(len(unreadable), 'image')}, such as {unreadable[0]}, cannot be read, and a repaired copy would "
            "be without; give rights to read, or look after the disk"
        )


def _check_free(out: Path, targets: Iterable[Path], origin: str) -> None:
    """Refuse a folder that holds anything but an earlier repair of the same data: two sets would be read as one."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; a repaired copy needs a folder")
    own = {path for path in targets if path.is_file() and _origin(path) == origin}
    seen = (path for path in out.rglob("*") if not path.name.startswith("."))  # as no reader sees the others
    other = next((path for path in seen if path not in own and path != out / "annotations"), None)
    if other is not None:
        raise InputError(
            f"{out} holds files that are no earlier repair of this data, such as {other.relative_to(out)}; "
            "name a new or empty folder for the repaired copy"
        )


def _origin(path: Path) -> str | None:
    """What a repaired record says that it was made of."""
    try:
        return str(json.loads(path.read_bytes())["info"][REPAIRED_FROM])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, content: dict[str, Any], origin: str) -> None:
    info = content.get("info")
    marked = {**content, "info": {**(info if isinstance(info, dict) else {}), REPAIRED_FROM: origin}}
    write_whole(path, lambda file: file.write(json.dumps(marked).encode()))
