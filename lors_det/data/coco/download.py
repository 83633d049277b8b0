"""COCO 2017 downloaded where it is missing, from where a former try stopped."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from zipfile import BadZipFile, ZipFile

from lors_det.data.coco.published import SPLITS, Split, check_coco, has_images
from lors_det.errors import InputError
from lors_det.files import fault_of, make_folder, write_whole

SOURCE = "http://images.cocodataset.org"
"""Where COCO's authors keep it; its certificate is another host's, so it is no https. The checksums tell."""

CHUNK = 1 << 20
SILENCE_S = 60
"""Seconds that the server may be silent."""


class Archive(NamedTuple):
    """A file of the source, and what it leaves."""

    path: str
    md5: str
    size: int
    """Bytes, about: to know beforehand whether the disk has them twice."""
    leaves: str
    """Folder that its extraction makes."""


ARCHIVES = (
    Archive("annotations/annotations_trainval2017.zip", "f4bbac642086de4f52a3fdda2de5fa2c", 252_000_000, "annotations"),
    Archive("zips/val2017.zip", "442b8da7639aecaf257c1dceb8ba8c80", 816_000_000, "val2017"),
    Archive("zips/train2017.zip", "cced6f7f71b7629ddf16f17bbcfab6b2", 19_336_000_000, "train2017"),
)


def prepare_coco(
    root: Path,
    *,
    source: str = SOURCE,
    archives: tuple[Archive, ...] = ARCHIVES,
    splits: tuple[Split, ...] = SPLITS,
    say: Callable[[str], object] = print,
) -> None:
    """Download and extract what a folder lacks of COCO 2017, and check all of it.

    A download that breaks off goes on from there in the next call, and is removed once it is extracted. Archives that
    lie in the folder already, under their own names, are taken in place of a download, and stay.

    Args:
        root: folder with, or to get, ``annotations``, ``train2017`` and ``val2017``.
        source: address below which the archives are.
        archives: what to download.
        splits: what to find in the end.
        say: is told each thing that happens, in words.

    Raises:
        InputError: if the disk is too small, the server does not give the files, or they are not COCO's.
    """
    make_folder(root)
    missing = [archive for archive in archives if not _has(root, archive, splits)]
    _check_room(root, missing)
    for archive in missing:
        if _has(root, archive, splits):  # by their names, which the annotations before it have brought
            continue
        path = found = root / Path(archive.path).name
        if not found.is_file():
            path = _downloaded(root, archive)
        if not path.is_file():
            _download(f"{source}/{archive.path}", path, say)
        say(f"checking {path}")
        if _md5(path) != archive.md5:
            if path == found:
                raise InputError(
                    f"{path} is not the file of {SOURCE}, by its checksum; remove or rename it, and the same command "
                    "downloads it"
                )
            path.unlink()
            raise InputError(f"{path} was not the file of {source}, by its checksum, and is removed; start again")
        say(f"extracting {path}")
        _extract(path, root)
        if path == found:
            say(f"{path} is needed no more, and stays")
        else:
            path.unlink()
    for words in check_coco(root, splits):
        say(words)


def _downloaded(root: Path, archive: Archive) -> Path:
    """Where a download lies until it is extracted: under a name of its own, for others of its name are not ours."""
    return root / f"{Path(archive.path).name}.downloaded"


def _check_room(root: Path, missing: Sequence[Archive]) -> None:
    """Refuse a disk that has no room for archives and what is in them, less what is there of both."""
    needed = 0
    for archive in missing:
        own, part = _downloaded(root, archive), _part_of(_downloaded(root, archive))
        there = next((path for path in (root / Path(archive.path).name, own, part) if path.is_file()), None)
        needed += 2 * archive.size - _size(root / archive.leaves) - (there.stat().st_size if there else 0)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise InputError(
            f"{root} needs about {needed / 1e9:.1f} GB more for archives and what is in them, and its disk has "
            f"{free / 1e9:.1f} GB free; name a folder on another"
        )


def _has(root: Path, archive: Archive, splits: tuple[Split, ...]) -> bool:
    """Whether what an archive leaves is there; while a download of it is there itself, it may not be."""
    if _downloaded(root, archive).is_file():
        return False
    if archive.leaves == "annotations":
        return all(split.annotation_file(root).is_file() for split in splits)
    return all(has_images(root, split) for split in splits if split.name == archive.leaves)


def _size(folder: Path) -> int:
    """Bytes of the files in a folder; none where there is none."""
    return sum(path.stat().st_size for path in folder.glob("*")) if folder.is_dir() else 0


def _download(url: str, path: Path, say: Callable[[str], object]) -> None:
    """The file at an address, from where a former try stopped; it has its name once it is whole."""
    part = _part_of(path)
    done = part.stat().st_size if part.is_file() else 0
    try:
        request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    except ValueError as error:
        raise InputError(f"{url} is no address; --source begins with http:// or https://") from error
    try:
        with urlopen(request, timeout=SILENCE_S) as answer:
            if done and answer.status != 206:  # it does not go on, and begins anew
                done = 0
            total = done + int(answer.headers.get("Content-Length") or 0)
            say(f"downloading {url}: {total / 1e9:.2f} GB" + (f", of which {done / 1e9:.2f} are here" if done else ""))
            with part.open("ab" if done else "wb") as file:
                while chunk := answer.read(CHUNK):
                    with fault_of(part):  # of the disk, not of the server
                        file.write(chunk)
                    done += len(chunk)
    except HTTPError as error:
        if error.code == 416 and done:  # nothing is left of it
            part.replace(path)
            return
        raise InputError(f"{url} cannot be downloaded: {error}") from error
    except (OSError, HTTPException) as error:
        raise InputError(f"{url} broke off ({type(error).__name__}: {error}); the same command goes on") from error
    if done < total:
        raise InputError(f"{url} broke off after {done} of {total} bytes; the same command goes on")
    part.replace(path)


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _extract(path: Path, root: Path) -> None:
    """Files that are there already, whole by their size, stay; others are whole or not there at all."""
    try:
        with ZipFile(path) as archive:
            for entry in archive.infolist():
                place = root / entry.filename  # of which a folder may be a link to another disk
                if Path(entry.filename).is_absolute() or ".." in Path(entry.filename).parts:
                    raise InputError(f"{path} holds {entry.filename}, which is outside {root}")
                if entry.is_dir():
                    make_folder(place)
                elif not (place.is_file() and place.stat().st_size == entry.file_size):
                    make_folder(place.parent)
                    with archive.open(entry) as content:
                        write_whole(place, partial(shutil.copyfileobj, content))
    except BadZipFile as error:
        raise InputError(f"{path} is damaged: {error}; remove it to download it again") from error
