"""Files that are whole or not there at all, and paths as people read them."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lors_det.errors import InputError

_DISK_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

_UMASK_AT_START = os.umask(0)  # reading it so sets it, for every thread: not while others may write
os.umask(_UMASK_AT_START)


def check_place(path: Path, *suffixes: str, new_folder: bool = False) -> None:
    """Refuse, before the work that fills it, a file that could not be written.

    Args:
        path: of the file.
        suffixes: one of which its name must end in, where there are any.
        new_folder: whether its folder may be missing, and be made when the file is written.

    Raises:
        InputError: if it has another suffix, is a folder, a device or a pipe, or its folder does not exist or cannot be
            written.
    """
    _check_file(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: the file's name must end in {' or '.join(suffixes)}")
    folder = path.absolute().parent
    if new_folder:
        check_folder(folder)
        return
    if not folder.is_dir():
        raise InputError(f"{path}: its folder does not exist")
    _check_writable(path, folder)


def check_folder(path: Path) -> None:
    """Refuse, before the work that fills it, a folder that is not there and could not be made, or not be filled.

    Raises:
        InputError: if it is a file, or the nearest folder that there is cannot be written.
    """
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists() or place.is_symlink())
    if not there.is_dir():
        fault = f"a link to {there.readlink()}, which is no folder" if there.is_symlink() else "a file"
        raise InputError(f"{path} cannot be a folder: {there} is {fault}; name a folder")
    _check_writable(path, there)


def _check_file(path: Path) -> None:
    """Refuse what a file would take the place of, and is none."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file to write")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a device or a pipe, which a file would replace; name a file to write")


def _check_writable(path: Path, folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path} cannot be written: folder {folder} is not writable")


def write_whole(path: Path, write: Callable[[BinaryIO], object], *, lasting: bool = False) -> None:
    """Call ``write`` with a file that becomes ``path`` when it returns, and is removed if it raises.

    Args:
        path: of the file.
        write: what fills it.
        lasting: whether to wait until the disk has it, so that a machine that loses power keeps it too.

    Raises:
        InputError: if the path is a folder, a device or a pipe, or nothing can be written beside it, or the disk is
            full.
    """
    _check_file(path)
    folder = path.absolute().parent
    try:
        handle, scratch = tempfile.mkstemp(prefix=scratch_prefix(path), suffix=".tmp", dir=folder)
    except OSError as error:  # which names the scratch file
        raise InputError(f"{path} cannot be written: folder {folder}: {error.strerror}") from error
    try:
        with fault_of(path):
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


def scratch_prefix(path: Path) -> str:
    """Of the name of a scratch file; whole names may be as long as names may be."""
    return f"{path.stem[:32]}-"


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are not there.

    Raises:
        InputError: if it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"folder {path} cannot be made: {error.strerror}; name another place") from error


@contextmanager
def fault_of(path: Path) -> Iterator[None]:
    """Say of what the disk refuses to take, for want of room above all, which file it is.

    Raises:
        InputError: in place of the disk's error, and of what torch makes of it.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if (fault := _of_the_disk(error)) is None:
            raise
        raise InputError(f"{path} cannot be written: {fault.strerror}") from error


def _of_the_disk(error: BaseException | None) -> OSError | None:
    """What the disk said, also behind an error of torch's, which tells of places in the file alone."""
    while error is not None and not (isinstance(error, OSError) and error.errno in _DISK_FAULTS):
        error = error.__cause__ or error.__context__
    return error


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
