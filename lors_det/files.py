"""Files that are whole or not there at all, and paths as people read them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lors_det.errors import InputError

_UMASK_AT_START = os.umask(0)  # reading it so sets it, for every thread: not while others may write
os.umask(_UMASK_AT_START)


def check_place(path: Path, *suffixes: str) -> None:
    """Refuse, before the work that fills it, a file that could not be written.

    Args:
        path: of the file.
        suffixes: one of which its name must end in, where there are any.

    Raises:
        InputError: if it has another suffix, is a folder, or its folder does not exist.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: the file's name must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file to write")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: its folder does not exist")


def write_whole(path: Path, write: Callable[[BinaryIO], object], *, lasting: bool = False) -> None:
    """Call ``write`` with a file that becomes ``path`` when it returns, and is removed if it raises.

    Args:
        path: of the file.
        write: what fills it.
        lasting: whether to wait until the disk has it, so that a machine that loses power keeps it too.

    Raises:
        InputError: if the path is a folder, or nothing can be written beside it.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file to write")
    folder = path.absolute().parent
    try:
        handle, scratch = tempfile.mkstemp(prefix=f"{path.stem}-", suffix=".tmp", dir=folder)
    except OSError as error:  # which names the scratch file
        raise InputError(f"{path} cannot be written: folder {folder}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        publish(scratch, path)
        if lasting:
            _sync_folder(folder)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """So that the disk has the name of a file too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(scratch: str, path: Path) -> None:
    """Let a scratch file, which is for its owner alone, take the place of a file, as readable as any other."""
    os.chmod(scratch, 0o666 & ~_umask())
    os.replace(scratch, path)


def _umask() -> int:
    """That of the process, where the system tells it without changing it, as Linux does; else that of the start."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    except (OSError, StopIteration, ValueError):
        return _UMASK_AT_START


def short_path(path: str | Path) -> str:
    """A path as seen from the working folder, where it is below it; an address stays as it is."""
    if "://" in str(path):
        return str(path)
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
