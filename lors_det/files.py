"""Files that are whole or not there at all, and paths as people read them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lors_det.errors import InputError


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call ``write`` with a file that becomes ``path`` when it returns, and is removed if it raises.

    Raises:
        InputError: if the path is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file to write")
    handle, scratch = tempfile.mkstemp(prefix=f"{path.stem}-", suffix=".tmp", dir=path.absolute().parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        publish(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def publish(scratch: str, path: Path) -> None:
    """Let a scratch file, which is for its owner alone, take the place of a file, as readable as any other."""
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(scratch, 0o666 & ~umask)
    os.replace(scratch, path)


def short_path(path: str | Path) -> str:
    """A path as seen from the working folder, where it is below it; an address stays as it is."""
    if "://" in str(path):
        return str(path)
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
