"""A run over many images and videos: in batches, with outputs, and with a place for what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lors_det.data.words import counted
from lors_det.errors import InputError
from lors_det.files import make_folder
from lors_det.inference.coco_results import CocoResults
from lors_det.inference.detections import Detections
from lors_det.inference.detector import Detector
from lors_det.inference.sources import Source, has_no_end
from lors_det.inference.streaming import batched
from lors_det.inference.tiling import TiledDetector
from lors_det.inference.videos import VideoReader, VideoWriter, shown_address, written_video
from lors_det.inference.yolo_labels import YoloLabels

MARK = ".lors-det-infer"
"""A file in a folder of pictures that a run has begun."""


class _Waiting(NamedTuple):
    """An image that was read and waits for its batch."""

    source: Source
    image_id: int | str
    pixels: NDArray[np.uint8]


@dataclass
class InferenceRun:
    """Detects objects in one source after the other; a batch of images is in memory, and nothing more.

    Args:
        detector: its threshold decides what is found at all.
        batch_size: images, or frames of a video, that are computed together; a batch never mixes them.
        frame_step: of so many frames of a video one is looked at, and drawn; the others are left out.
        pictures: folder of pictures and videos with boxes, by the sources' names; None: none are written.
        score_threshold: of what is drawn.
        results: gets all that is found.
        labels: gets what reaches ``score_threshold`` in images.
        done: called with the number of images that are through, after each batch and after each that is skipped.
        failed: called with the error of a source that cannot be read, or whose shape no network takes, which is
            skipped, and of a picture that cannot be written; where it raises, the run ends.
    """

    detector: Detector | TiledDetector
    batch_size: int = 1
    frame_step: int = 1
    pictures: Path | None = None
    score_threshold: float = 0.3
    results: CocoResults | None = None
    labels: YoloLabels | None = None
    done: Callable[[int], object] = lambda number: None
    failed: Callable[[InputError], object] = lambda error: None
    num_images: int = field(default=0, init=False)
    """Images and frames that are done."""
    num_found: int = field(default=0, init=False)
    """Objects in them that reach ``score_threshold``."""

    def process(self, sources: Iterable[Source]) -> None:
        """Go through the sources.

        Raises:
            InputError: if an output cannot be written.
        """
        if self.pictures is not None:
            mark(self.pictures)
        waiting: list[_Waiting] = []
        for source in sources:
            if source.kind == "image":
                if (image := self._read(source)) is not None:
                    waiting.append(image)
                if len(waiting) < self.batch_size:
                    continue
            self._images(waiting)
            waiting = []
            if source.kind != "image":
                self._video(source)
        self._images(waiting)

    def _read(self, source: Source) -> _Waiting | None:
        path = Path(str(source.where))
        try:
            pixels = self.detector.read(path)
            image_id = self.results.image_id(str(source.name), path) if self.results is not None else 0
        except InputError as error:
            self.failed(error)
            self.done(1)
            return None
        return _Waiting(source, image_id, pixels)

    def _images(self, batch: list[_Waiting]) -> None:
        try:
            detections = self.detector.detect([each.pixels for each in batch])
        except InputError as error:
            fault = str(error)  # and no more of it: an error that is kept keeps what was computed, on a GPU too
        else:
            fault = ""
        if fault and len(batch) > 1:  # of one of them; the others are detected without it
            for each in batch:
                self._images([each])
            return
        if fault:
            self.failed(InputError(f"image {batch[0].source.where}: {fault}"))
            self.done(1)
            return
        for (source, image_id, _), found in zip(batch, detections):
            if self.results is not None:
                self.results.add(image_id, found, name=str(source.name))
            shown = found.select(score_threshold=self.score_threshold)
            if self.labels is not None:
                self.labels.add(Path(source.name), shown)
            self._count(found)
            if self.pictures is not None:
                try:
                    shown.save(self._output(self.pictures, source))
                except InputError as error:  # one that cannot be written costs the others nothing
                    self.failed(error)
        self.done(len(batch))

    def _video(self, source: Source) -> None:
        try:
            path = self._output(self.pictures, source) if self.pictures is not None else None
            reader = VideoReader(source.where, step=self.frame_step)
            if path is None:
                number = self._frames(source, reader, None)
            else:
                with written_video(path, reader.fps) as writer:
                    number = self._frames(source, reader, writer)
            reader.check_whole(number)
            if has_no_end(source) and reader.num_frames is None:
                raise InputError(f"{reader.shown} ended after {counted(number, 'frame')}, which are done")
        except _UnwrittenError:  # the results of all: no matter of this video
            raise
        except InputError as error:
            self.failed(error)

    def _frames(self, source: Source, reader: VideoReader, writer: VideoWriter | None) -> int:
        """Go through a video's frames; returns how many were looked at."""
        number = 0
        for batch in batched(reader, self.batch_size):
            try:
                detections = self.detector.detect(batch)
                if writer is not None:
                    for found in detections:
                        writer.add(found.select(score_threshold=self.score_threshold).draw())
            except InputError as error:
                raise InputError(f"{reader.shown}: {error}") from error
            for found in detections:
                if self.results is not None:
                    name = str(source.name)
                    index = number * self.frame_step
                    image_id = self.results.image_id(name, None)
                    try:
                        self.results.add(image_id, found, name=name, frame_index=index)
                    except InputError as error:
                        raise _UnwrittenError(str(error)) from error
                self._count(found)
                number += 1
            self.done(len(batch))
        return number

    def _count(self, found: Detections) -> None:
        self.num_images += 1
        self.num_found += int((found.scores >= self.score_threshold).sum())

    def _output(self, folder: Path, source: Source) -> Path:
        """Where a source's picture goes; its folder is there then."""
        path = output_path(folder, source)
        make_folder(path.parent)
        return path


def check_outputs(folder: Path, sources: Iterable[Source]) -> None:
    """Refuse what :func:`output_path` does, and two videos of one place, before any is looked at.

    Raises:
        InputError: it names both.
    """
    of: dict[Path, Source] = {}
    for source in sources:
        path = output_path(folder, source)
        if source.kind != "image" and of.setdefault(path, source) != source:
            raise InputError(
                f"{path} would be of {_shown(of[path])} and of {_shown(source)}; give them names of their own, or look "
                "at one after the other, each with a folder of its own, --out"
            )


def output_path(folder: Path, source: Source) -> Path:
    """Where a source's picture goes.

    Raises:
        InputError: if something is there that may be a person's own: a file in a folder that this did not begin, the
            source, or another file in a folder above it.
    """
    path = folder / source.name
    if source.kind != "image" and path.suffix.lower() != ".mp4":
        path = path.with_name(f"{path.name}.mp4")  # beside that of a video of the same stem
    if path.is_file() and (_is_above(folder, source) or not (folder / MARK).is_file()):
        raise InputError(f"the picture of {_shown(source)} would overwrite {path}; name another folder, --out")
    return path


def _is_above(folder: Path, source: Source) -> bool:
    """Whether a source lies in a folder, as a link or as what it leads to."""
    if not isinstance(source.where, Path):
        return False
    places = source.where.parent.resolve(), source.where.resolve().parent
    return any(folder.resolve() in (place, *place.parents) for place in places)


def _shown(source: Source) -> str:
    return shown_address(source.where) if isinstance(source.where, str) else str(source.where)


class _UnwrittenError(InputError):
    """Results that cannot be written, which ends a run."""


def mark(folder: Path) -> None:
    """Mark a folder that a run begins, before anything is in it: its pictures may be written over by a later one's.

    Raises:
        InputError: if it cannot be made.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        make_folder(folder)
        (folder / MARK).touch()
