"""Detections as a JSON file that COCO's tools read, written from a spool so that memory does not grow."""

from __future__ import annotations

import json
import posixpath
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, BinaryIO

from lors_det.data.words import listed
from lors_det.errors import InputError
from lors_det.files import check_place, fault_of, write_whole
from lors_det.inference.detections import Detections
from lors_det.plugin.dataset import read_json


class CocoResults:
    """Collects detections and writes them.

    With an annotation file, a list of results with its image and category ids, which ``COCO.loadRes`` takes to score
    them. Without, a record of its own in COCO's format: images and categories are counted from 1, and annotations have
    a score, and boxes are cut to the image, as labels are; of a video, each frame is an image, which tells the
    ``frame_index``.

    Args:
        path: file to write, ``.json``, so that it is no image, video or checkpoint.
        classes: of the model, in order.
        annotations: COCO annotation file with the images' ids.
        score_threshold: detections below it are left out.

    Raises:
        InputError: if ``path`` has another suffix, is a folder, in one that does not exist or cannot be written, or the
            annotation file itself, or that file is none or lacks a class.
    """

    def __init__(
        self, path: Path, classes: Sequence[str], *, annotations: Path | None = None, score_threshold: float = 0.0
    ) -> None:
        check_place(path, ".json")
        if annotations is not None and path.resolve() == annotations.resolve():
            raise InputError(f"{path} would replace the annotations by the results; name another file for these")
        self._path, self._classes, self._threshold = path, classes, score_threshold
        self._truth = _Truth(annotations, classes) if annotations is not None else None
        self._count = 0
        self._added: set[int | str] = set()
        self._open = ExitStack()
        self._images: IO[bytes]
        self._entries: IO[bytes]

    def __enter__(self) -> CocoResults:
        folder = self._path.absolute().parent
        self._images = self._open.enter_context(tempfile.TemporaryFile(dir=folder))
        self._entries = self._open.enter_context(tempfile.TemporaryFile(dir=folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the file, also after Ctrl-C; after an error, what was found before it, under another name."""
        with self._open:
            if kind is None or issubclass(kind, KeyboardInterrupt):
                write_whole(self._path, self._write)
            elif issubclass(kind, Exception) and self._entries.tell():
                partial = self._path.with_name(f"{self._path.stem}.partial.json")
                try:
                    write_whole(partial, self._write)
                except InputError:  # such as a full disk, which the error tells of already
                    return
                words = f"what was found before is in {partial}"
                if isinstance(error, InputError):
                    raise InputError(f"{error}; {words}") from error
                print(words, file=sys.stderr)

    def check_distinct(self, paths: Iterable[Path]) -> None:
        """Refuse two images that the annotation file would take for one, before any is detected.

        Raises:
            InputError: it names both; without an annotation file there are none.
        """
        if self._truth is not None:
            self._truth.check_distinct(paths)

    def image_id(self, name: str, path: Path | None) -> int | str:
        """The image's id in the annotation file; without one, the next number.

        Args:
            name: of the image, as the record calls it.
            path: its file; the annotation file may name it by any number of its last folders.

        Raises:
            InputError: if the annotation file has no such image, or this one has been asked for before.
        """
        if self._truth is not None:
            return self._truth.take(name, path)
        self._count += 1
        return self._count

    def add(self, image_id: int | str, found: Detections, *, name: str, frame_index: int | None = None) -> None:
        """The detections of an image, by the id that :meth:`image_id` gave."""
        kept = found.select(score_threshold=self._threshold)
        with fault_of(self._path):
            if self._truth is not None:
                self._added.add(image_id)
                _append(self._entries, kept.to_coco(image_id, self._truth.category_ids))
                return
            width, height = found.image_size
            image = {"id": image_id, "file_name": name, "width": width, "height": height}
            _append(self._images, [image if frame_index is None else {**image, "frame_index": frame_index}])
            entries = [
                {**each, "area": each["bbox"][2] * each["bbox"][3], "iscrowd": 0}
                for each in kept.clip().to_coco(image_id)
            ]
            _append(self._entries, entries)

    @property
    def num_left_out(self) -> int:
        """Images of the annotation file whose detections were not added; an evaluation counts them as missed."""
        return self._truth.num_images - len(self._added) if self._truth is not None else 0

    def _write(self, file: BinaryIO) -> None:
        if self._truth is not None:
            _copy(self._entries, file)
            return
        categories = [{"id": number, "name": name} for number, name in enumerate(self._classes, 1)]
        file.write(b'{"categories": ' + json.dumps(categories).encode() + b',\n"images": ')
        _copy(self._images, file)
        file.write(b',\n"annotations": ')
        _copy(self._entries, file, numbered=True)
        file.write(b"}\n")


class _Truth:
    """Ids of an annotation file."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        content = read_json(path)
        sections = [content.get(name) for name in ("images", "categories")] if isinstance(content, dict) else []
        if not sections or not all(isinstance(section, list) and section for section in sections):
            raise InputError(f"annotation file {path} has no images or no categories; it must be in COCO format")
        try:
            named = [(_below(image["file_name"]), image["id"]) for image in content["images"]]
            categories = [(category["name"], category["id"]) for category in content["categories"]]
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"annotation file {path}: an image or a category lacks its id or name") from error
        for section, kind, pairs in (("images", "image", named), ("categories", "category", categories)):
            for place, what in enumerate(("name", "id")):
                values = [pair[place] for pair in pairs]
                if not all(isinstance(value, (int, str)) for value in values):
                    raise InputError(
                        f"annotation file {path}: the {what} of an entry of {section} is neither a number nor a text"
                    )
                twice = next((value for value, count in Counter(values).items() if count > 1), None)
                if twice is not None:
                    raise InputError(
                        f"annotation file {path} lists {kind} {what} {twice} twice; give every {kind} its own {what}"
                    )
        self._ids, ids = dict(named), dict(categories)
        missing = [name for name in classes if name not in ids]
        if missing:
            raise InputError(
                f"annotation file {path} lacks the model's classes {listed(missing)}; it has {listed(ids)}"
            )
        self._path, self._taken = path, set[int | str]()
        self.category_ids = [ids[name] for name in classes]

    @property
    def num_images(self) -> int:
        return len(self._ids)

    def check_distinct(self, paths: Iterable[Path]) -> None:
        first: dict[str, Path] = {}
        for path in paths:
            name = self._name(path)
            if name is not None and first.setdefault(name, path) != path:
                raise InputError(
                    f"images {first[name]} and {path} would both be {name} of annotation file {self._path}; name the "
                    "folder of those that it lists"
                )

    def _name(self, path: Path) -> str | None:
        return next((name for name in _endings(path) if name in self._ids), None)

    def take(self, name: str, path: Path | None) -> int | str:
        known = self._name(path) if path is not None else None
        if known is not None:
            found = self._ids[known]
            if found in self._taken:
                raise InputError(f"image {path} is {known} of {self._path}, which came before")
            self._taken.add(found)
            return found
        raise InputError(f"image {path or name} is not in annotation file {self._path}")


def _below(name: str) -> str:
    """An image's name as a path below some folder; also of one that leads upwards or is absolute."""
    parts = PurePosixPath(posixpath.normpath(name.replace("\\", "/"))).parts
    return "/".join(part for part in parts if part not in ("..", "/", "//"))


def _endings(path: Path) -> Iterator[str]:
    """A path without its first folders, the longest rest first."""
    parts = path.absolute().parts
    return ("/".join(parts[start:]) for start in range(1, len(parts)))


def _append(spool: IO[bytes], entries: Sequence[dict[str, Any]]) -> None:
    for entry in entries:
        spool.write(json.dumps(entry).encode() + b"\n")


def _copy(spool: IO[bytes], file: BinaryIO, *, numbered: bool = False) -> None:
    """A list of the spool's lines; numbered, each gets an id."""
    spool.seek(0)
    file.write(b"[")
    for number, line in enumerate(spool, 1):
        file.write(b"\n" if number == 1 else b",\n")
        file.write(b'{"id": %d, ' % number + line[1:-1] if numbered else line[:-1])
    file.write(b"\n]")
    spool.seek(0, 2)
