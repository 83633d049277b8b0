"""Where images come from: files, folders, patterns, videos, cameras and streams, found one after the other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from lors_det.data.images import IMAGE_SUFFIXES, UNREAD_SUFFIXES, is_image
from lors_det.data.listing import is_visible
from lors_det.errors import InputError
from lors_det.inference.videos import VideoReader, shown_address, shown_source

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
_CAMERA = re.compile(r"camera:(\d+)")


class Source(NamedTuple):
    """An image, or something with frames.

    Attributes:
        kind: "live" is a camera or a stream, which has no end.
        where: a file, the number of a camera or the address of a stream.
        name: of its outputs, in a folder of theirs; with the suffix of the file.
    """

    kind: Literal["image", "video", "live"]
    where: Path | int | str
    name: PurePosixPath


def find_sources(inputs: Sequence[str], *, leave_out: Path | None = None) -> Iterator[Source]:
    """Everything that some inputs name, in their order, once; folders are walked when their turn comes.

    Outputs are named by the paths below the deepest folder that all inputs share: for a single folder, those inside
    of it.

    Args:
        inputs: files, folders (with those inside), patterns such as "photos/**/*.jpg", "camera:0", or addresses of
            streams, such as "rtsp://...".
        leave_out: a folder that is not entered: that of the outputs.

    Raises:
        InputError: when it starts, if an input does not exist, or no file of it is an image or a video, or there is
            something behind a camera, which has no end.
    """
    distinct = list(dict.fromkeys(inputs))
    found = [source for text in distinct if (source := _live(text))]
    endless = [source for source in found if has_no_end(source)]
    if len(endless) > 1:
        names = " and ".join(shown_source(source.where) for source in endless)
        raise InputError(f"{names} have no end, so that only the first would be looked at; run a command for each")
    named = {text: _expanded(text, leave_out) for text in distinct if not _live(text)}
    for text, paths in named.items():
        if next(_files(paths, leave_out), None) is None:
            raise InputError(f"{text} holds no image or video ({', '.join((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))})")
    paths = [path for each in named.values() for path in each]
    roots = [path if path.is_dir() else path.parent for path in paths]
    root = Path(os.path.commonpath([os.path.normpath(each.absolute()) for each in roots])) if roots else Path()
    return _chain(found, _files(paths, leave_out), root)


def has_no_end(source: Source) -> bool:
    """A camera or a stream; but for what is at an http address, which may be a film."""
    return source.kind == "live" and not str(source.where).startswith(("http://", "https://"))


def count_images(sources: Iterable[Source], *, frame_step: int = 1) -> int | None:
    """How many images and frames there are to look at, as the videos say; None where one does not, or has no end."""
    count = 0
    for source in sources:
        if source.kind == "image":
            count += 1
            continue
        try:
            frames = VideoReader(source.where, step=frame_step).num_frames if source.kind == "video" else None
        except InputError:  # it will be named when its turn comes
            continue
        if frames is None:
            return None
        count += frames
    return count


def count_passed_over(inputs: Sequence[str], *, leave_out: Path | None = None) -> int:
    """Images in the folders among the inputs that :func:`find_sources` leaves out, for their format is another."""
    folders = [
        path
        for text in dict.fromkeys(inputs)
        if not _live(text)
        for path in _expanded(text, leave_out)
        if path.is_dir()
    ]
    return sum(path.suffix.lower() in UNREAD_SUFFIXES for path in _walked(folders, leave_out))


def _chain(live: Iterable[Source], files: Iterable[Path], root: Path) -> Iterator[Source]:
    for path in files:
        name = PurePosixPath(Path(os.path.normpath(path.absolute())).relative_to(root).as_posix())
        yield Source("image" if is_image(path.name) else "video", path, name)
    yield from live  # these have no end


def _live(text: str) -> Source | None:
    """A camera or a stream; None of a path."""
    if camera := _CAMERA.fullmatch(text):
        return Source("live", int(camera[1]), PurePosixPath(f"camera_{camera[1]}.mp4"))
    if "://" in text:
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", shown_address(text).partition("://")[2]).strip("_.")
        return Source("live", text, PurePosixPath(f"{name or 'stream'}.mp4"))
    return None


def _expanded(text: str, leave_out: Path | None) -> list[Path]:
    """The files and folders that an input names; a pattern does not reach into the folder ``leave_out``."""
    path = Path(text).expanduser()
    if path.exists():
        if path.is_file() and not _is_media(path):
            raise InputError(
                f"{text} has no suffix of an image or a video: {', '.join((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))}"
            )
        return [path]
    matches = sorted(glob(str(path), recursive=True)) if has_magic(text) else []
    if not matches:
        fault = "matches no file" if has_magic(text) else "does not exist"
        raise InputError(f"{text} {fault}, seen from {Path.cwd()}; name an image, a video, a folder or a pattern")
    paths = [Path(match) for match in matches]
    if leave_out is not None:
        outputs = leave_out.resolve()
        paths = [path for path in paths if outputs not in (path.resolve(), *path.resolve().parents)]
        if not paths:
            raise InputError(
                f"{text} names nothing but what lies in {leave_out}, the folder of the pictures that are drawn, which "
                "are no inputs; name another folder for them, --out"
            )
    # such a pattern may name folders too, whose files it names as well
    files = [path for path in paths if path.is_file() and _is_media(path)] if "**" in text else []
    return files or paths


def _files(paths: Iterable[Path], leave_out: Path | None) -> Iterator[Path]:
    """Images and videos among files and in folders, each folder sorted."""
    return (path for path in _walked(paths, leave_out) if _is_media(path))


def _walked(paths: Iterable[Path], leave_out: Path | None) -> Iterator[Path]:
    """Files, and what is visible in folders, each sorted, linked ones too; what several paths lead to comes once.

    Raises:
        InputError: at a folder that cannot be read.
    """
    seen: set[tuple[Path, str]] = set()  # a link to a file is a file of its own name
    walked: set[Path] = set()  # links may lead back
    for path in paths:
        is_file = path.is_file()
        walk = iter([(str(path.parent), list[str](), [path.name])]) if is_file else _walk(path)
        for folder, folders, names in walk:
            here = Path(folder)
            place = here.resolve()
            if not is_file:
                if place in walked:
                    folders.clear()
                    continue
                walked.add(place)
            folders[:] = sorted(
                name
                for name in filter(is_visible, folders)
                if leave_out is None or (here / name).resolve() != leave_out.resolve()
            )
            for name in sorted(names):
                if (place, name) not in seen and (is_file or is_visible(name)):
                    seen.add((place, name))
                    yield here / name


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    def refuse(error: OSError) -> None:
        raise InputError(f"folder {error.filename} cannot be read: {error.strerror}") from error

    return os.walk(folder, followlinks=True, onerror=refuse)


def _is_media(path: Path) -> bool:
    return is_image(path.name) or path.suffix.lower() in VIDEO_SUFFIXES
