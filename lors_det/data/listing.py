"""What lies in folders, each looked at once: readers ask for hundreds of thousands of files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

_END = 4096
_NO_FOLDER = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
"""Errors of what is not there, is a file, or has a name that no folder can have."""


def is_visible(name: str) -> bool:
    """Whether a file or a folder is one of a person's: no name with a dot before it, nor __MACOSX of archives."""
    return not name.startswith(".") and name != "__MACOSX"


class Listing:
    """Visible files and folders."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {}

    def _look(self, folder: str) -> tuple[frozenset[str], tuple[str, ...]]:
        if folder not in self._seen:
            files: list[str] = []
            folders: list[str] = []
            try:
                with os.scandir(folder or ".") as entries:
                    for entry in entries:
                        if is_visible(entry.name):
                            (folders if _is_folder(entry) else files).append(entry.name)
            except OSError as error:  # others, such as a network's, would leave out part of a set
                if error.errno not in _NO_FOLDER:
                    raise
            except ValueError:  # a name that no folder can have
                pass
            self._seen[folder] = frozenset(files), tuple(sorted(folders))
        return self._seen[folder]

    def files(self, folder: str) -> frozenset[str]:
        """Names of the files in a folder; none where there is no such folder."""
        return self._look(folder)[0]

    def folders(self, folder: str) -> tuple[str, ...]:
        """Names of the folders in a folder, sorted."""
        return self._look(folder)[1]

    def holds(self, path: str) -> bool:
        """Whether a file exists."""
        folder, _, name = path.rpartition("/")
        return name in self.files(folder or "/" * path.startswith("/"))

    def walk(self, folder: str, depth: int = 8) -> Iterator[tuple[str, list[str]]]:
        """Each folder below ``folder``, itself first, with the sorted names of its files.

        Links are followed, but no folder is entered twice.
        """
        entered: set[str] = set()
        waiting = [(folder, depth)]
        while waiting:
            place, left = waiting.pop()
            real = os.path.realpath(place)
            if real in entered:
                continue
            entered.add(real)
            yield place, sorted(self.files(place))
            if left:
                waiting += [(os.path.join(place, name), left - 1) for name in reversed(self.folders(place))]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say
        return False


def both_ends(path: str) -> bytes:
    """The first and the last 4 KiB of a file, by which most files of other kinds are known without reading them.

    Without zero bytes, so that what is written in UTF-16 is known too.
    """
    with open(path, "rb") as file:
        ends = file.read(_END)
        file.seek(max(0, os.fstat(file.fileno()).st_size - _END))
        return (ends + file.read()).replace(b"\0", b"")
