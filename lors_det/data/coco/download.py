"""COCO 2017 on this machine: downloaded where it is missing, from where a former try stopped, and checked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from zipfile import BadZipFile, ZipFile

from lors_det.errors import InputError

SOURCE = "http://images.cocodataset.org"
"""Where COCO's authors keep it; its certificate is another host's, so it is no https. The checksums tell."""

CHUNK = 1 << 20
SILENCE_S = 60
"""Seconds that the server may be silent."""


class Split(NamedTuple):
    """What a split is to hold."""

    name: str
    images: int
    annotations: int


class Archive(NamedTuple):
    """A file of the source, and what it leaves."""

    path: str
    md5: str
    size: int
    """Bytes, about: to know beforehand whether the disk has them twice."""
    leaves: str
    """Folder that its extraction makes."""


SPLITS = (Split("train2017", 118287, 860001), Split("val2017", 5000, 36781))
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

    An archive is removed once it is extracted. A download that breaks off goes on from there in the next call.

    Args:
        root: folder with, or to get, ``annotations``, ``train2017`` and ``val2017``.
        source: address below which the archives are.
        archives: what to download.
        splits: what to find in the end.
        say: is told each thing that happens, in words.

    Raises:
        InputError: if the disk is too small, the server does not give the files, or they are not COCO's.
    """
    root.mkdir(parents=True, exist_ok=True)
    missing = [archive for archive in archives if not _has(root, archive, splits)]
    # an archive and what is in it, less what is there of both
    needed = sum(2 * archive.size - _size(root / archive.leaves) for archive in missing)
    files = [root / f"{Path(archive.path).name}{ending}" for archive in missing for ending in ("", ".part")]
    needed -= sum(path.stat().st_size for path in files if path.is_file())
    free = shutil.disk_usage(root).free
    if needed > free:
        raise InputError(
            f"{root} needs about {needed / 1e9:.1f} GB more for archives and what is in them, and its disk has "
            f"{free / 1e9:.1f} GB free; name a folder on another"
        )
    for archive in missing:
        path = root / Path(archive.path).name
        if not path.is_file():
            _download(f"{source}/{archive.path}", path, say)
        say(f"checking {path}")
        if _md5(path) != archive.md5:
            path.unlink()
            raise InputError(f"{path} was not the file of {source}, by its checksum, and is removed; start again")
        say(f"extracting {path}")
        _extract(path, root)
        path.unlink()
    for words in check_coco(root, splits):
        say(words)


def check_coco(root: Path, splits: tuple[Split, ...] = SPLITS) -> Iterator[str]:
    """What a folder holds of COCO 2017, a line for each split, by the names of images and that none is empty.

    Raises:
        InputError: if a file, images or annotations are missing, there are others, or an image is empty.
    """
    for split in splits:
        path = root / f"annotations/instances_{split.name}.json"
        if not path.is_file():
            raise InputError(f"{path} does not exist; lors-det prepare-coco {root} downloads it")
        try:
            content = json.loads(path.read_bytes())
            names = {image["file_name"] for image in content["images"]}
            counts = len(content["images"]), len(content["annotations"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no annotation file of COCO ({error!r}); remove it to download it again"
            ) from error
        if counts != (split.images, split.annotations):
            raise InputError(
                f"{path} has {counts[0]} images and {counts[1]} annotations, where COCO's own has {split.images} and "
                f"{split.annotations}"
            )
        folder = root / split.name
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(folder)} if folder.is_dir() else {}
        if lacking := sorted(names - sizes.keys()):
            raise InputError(
                f"{folder} lacks {len(lacking)} of {len(names)} images, {lacking[0]} the first of them; "
                f"lors-det prepare-coco {root} downloads them"
            )
        if empty := sorted(name for name in names if not sizes[name]):
            raise InputError(
                f"{folder} has {len(empty)} empty images, {empty[0]} the first of them; remove them, and "
                f"lors-det prepare-coco {root} downloads them again"
            )
        yield f"{split.name}: {counts[0]} images, {counts[1]} annotations"


def _has(root: Path, archive: Archive, splits: tuple[Split, ...]) -> bool:
    """Whether what an archive leaves is there, by the number of its files; while it is there itself, it may not be."""
    folder = root / archive.leaves
    if (root / Path(archive.path).name).is_file():
        return False
    if archive.leaves == "annotations":
        return all((folder / f"instances_{split.name}.json").is_file() for split in splits)
    wanted = next((split.images for split in splits if split.name == archive.leaves), 1)
    return folder.is_dir() and sum(1 for _ in folder.glob("*.jpg")) >= wanted


def _size(folder: Path) -> int:
    """Bytes of the files in a folder; none where there is none."""
    return sum(path.stat().st_size for path in folder.glob("*")) if folder.is_dir() else 0


def _download(url: str, path: Path, say: Callable[[str], object]) -> None:
    """The file at an address, from where a former try stopped; it has its name once it is whole."""
    part = path.with_name(f"{path.name}.part")
    done = part.stat().st_size if part.is_file() else 0
    request = Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urlopen(request, timeout=SILENCE_S) as answer:
            if done and answer.status != 206:  # it does not go on, and begins anew
                done = 0
            total = done + int(answer.headers.get("Content-Length") or 0)
            say(f"downloading {url}: {total / 1e9:.2f} GB" + (f", of which {done / 1e9:.2f} are here" if done else ""))
            with part.open("ab" if done else "wb") as file:
                while chunk := answer.read(CHUNK):
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


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _extract(path: Path, root: Path) -> None:
    """Files that are there already, whole by their size, stay."""
    try:
        with ZipFile(path) as archive:
            for entry in archive.infolist():
                place = root / entry.filename  # of which a folder may be a link to another disk
                if Path(entry.filename).is_absolute() or ".." in Path(entry.filename).parts:
                    raise InputError(f"{path} holds {entry.filename}, which is outside {root}")
                if not (place.is_file() and place.stat().st_size == entry.file_size):
                    archive.extract(entry, root)
    except BadZipFile as error:
        raise InputError(f"{path} is damaged: {error}; remove it to download it again") from error
