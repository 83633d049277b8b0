"""Detections as label files of YOLO's form: a start for people who label more images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from lors_det.data.words import counted
from lors_det.errors import InputError
from lors_det.files import check_folder, make_folder, write_whole
from lors_det.inference.detections import Detections


def check_new(folder: Path) -> None:
    """Refuse a folder in which files would be written over; see :class:`YoloLabels`."""
    check_folder(folder)
    if folder.is_dir() and (there := next(folder.iterdir(), None)) is not None:
        raise InputError(
            f"{folder} holds {there.name}; name a new or empty folder, so that no labels of people are written over"
        )


class YoloLabels:
    """Writes a text file for each image: a line ``class cx cy w h`` for each object, in shares of width and height.

    Images below folders have their files below folders of the same names; an image without objects has an empty one,
    which says that it was looked at. ``classes.txt`` beside them names the classes, a line each.

    Args:
        folder: of the files; it is made.
        classes: of the model, in order.
        names: of all images, with their suffixes.

    Raises:
        InputError: if the folder is a file, cannot be written, or holds anything: labels that people drew, perhaps; or
            two images would have one file.
    """

    def __init__(self, folder: Path, classes: Sequence[str], names: Iterable[Path]) -> None:
        check_new(folder)
        self._folder = folder
        self._num_images = 0
        of_classes = folder / "classes.txt"
        of = {of_classes: "the classes"}
        for name in names:
            path = self._path(name)
            if path in of:
                raise InputError(f"{path} would be of {name} and of {of[path]}; give the images names of their own")
            of[path] = str(name)
        self._write(of_classes, classes)

    def __enter__(self) -> YoloLabels:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error, say what is there: a new run does not write over it."""
        if isinstance(error, InputError):
            raise InputError(
                f"{error}; the labels of {counted(self._num_images, 'image')} before are in {self._folder}, and a new "
                "run wants another folder, or an empty one"
            ) from error

    def _path(self, name: Path) -> Path:
        return (self._folder / name).with_suffix(".txt")

    def add(self, name: Path, found: Detections) -> None:
        """The objects of an image, of which what lies outside the image is cut off.

        Raises:
            InputError: if the file cannot be written.
        """
        found = found.clip()
        boxes = found.boxes / np.array(found.image_size * 2, np.float64)
        centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        self._write(
            self._path(name),
            [
                f"{label} {' '.join(f'{value:.6f}' for value in row)}"
                for label, row in zip(found.labels, np.hstack([centres, sides]))
            ],
        )
        self._num_images += 1

    def _write(self, path: Path, lines: Sequence[str]) -> None:
        make_folder(path.parent)
        write_whole(path, lambda file: file.write("".join(f"{line}\n" for line in lines).encode()))
