"""Videos, frame by frame: read from files, cameras and streams, and written whole or not at all."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lors_det.errors import InputError
from lors_det.files import publish, scratch_prefix
from lors_det.inference.images import swap_red_and_blue

MISSING_SHARE = 0.1
"""Of the frames that a file tells of: where more are missing, it was cut off; fewer, and the file may have guessed."""

UNKNOWN_FPS = 25.0
"""Frames a second of what does not tell, such as many cameras."""


_SECRET = re.compile(r"(?i)(^|&)([^=&]*(?:pass|pwd|user|login|token|key|auth|secret|sig)[^=&]*)=[^&]*")


def shown_address(address: str) -> str:
    """A stream's address without what is a secret: user and password, before the host or in the query."""
    scheme, separator, rest = address.partition("://")
    place, question, query = rest.partition("?")
    host, slash, path = place.partition("/")
    hidden = _SECRET.sub(r"\1\2=", query)
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}{question}{hidden}"


def shown_source(where: Path | int | str) -> str:
    """A video's file, a camera or a stream in words, without what is a secret."""
    if isinstance(where, int):
        return f"camera {where}"
    return f"stream {shown_address(where)}" if isinstance(where, str) else f"video {where}"


class VideoReader:
    """Frames of a video as RGB arrays, turned as the file says; one is in memory.

    Args:
        where: a file, the number of a camera or the address of a stream.
        step: of ``step`` frames the first is given; the others are passed over.

    Raises:
        InputError: if it cannot be opened.
    """

    def __init__(self, where: Path | int | str, *, step: int = 1) -> None:
        self._step = step
        self.shown = shown_source(where)
        """What it is, in words."""
        if not isinstance(where, int):
            _check_name(str(where), self.shown)
        try:
            self._capture = cv2.VideoCapture(where if isinstance(where, int) else str(where))
        except cv2.error as error:  # at a number of a camera that is none
            raise InputError(f"{self.shown} cannot be opened") from error
        if not self._capture.isOpened():
            self._capture.release()
            if isinstance(where, int):
                raise InputError(f"{self.shown} cannot be opened; it may not be there, or be in use")
            if isinstance(where, str):
                raise InputError(
                    f"{self.shown} cannot be opened; it may not be there, or ask for a password; "
                    "images are not fetched from an address: download them and name the files"
                )
            raise InputError(f"{self.shown} cannot be opened; it may be damaged, or of a format OpenCV does not read")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = (fps if np.isfinite(fps) and 0 < fps < 1000 else UNKNOWN_FPS) / step
        """Frames a second that are given."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.num_frames = ceil(int(count) / step) if np.isfinite(count) and count > 0 else None
        """That are given, as the file tells, which may be an estimate; None where it does not."""

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Each frame, (H, W, 3), RGB.

        Raises:
            InputError: if there is not a single one.
        """
        empty = True
        try:
            while True:
                there, frame = self._capture.read()
                if not there:
                    break
                empty = False
                yield swap_red_and_blue(np.asarray(frame, np.uint8))
                for _ in range(self._step - 1):
                    self._capture.grab()  # at the end it fails, as the next read then does
        finally:
            self._capture.release()
        if empty:
            raise InputError(f"{self.shown} has no frame that can be decoded")

    def close(self) -> None:
        """Let go of it; iterating does so too."""
        self._capture.release()

    def check_whole(self, number: int) -> None:
        """Told how many frames there were, refuse a file that tells of more.

        Raises:
            InputError: if it ended before its time; OpenCV takes what it cannot decode for the end.
        """
        if self.num_frames is not None and number < self.num_frames * (1 - MISSING_SHARE):
            raise InputError(
                f"the rest of {self.shown}: it ends after {number} of {self.num_frames} frames, and may be "
                "damaged; those before are done"
            )


class VideoWriter:
    """Writes RGB frames of one size as MPEG-4; made by :func:`written_video`."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, _written_fps(fps)
        self._writer: Any = None
        self._size = (0, 0)
        self.number = 0
        """Frames that were added."""

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame; the first decides the size, to which others are scaled, as OpenCV would drop them in silence.

        MPEG-4 takes even sizes alone: an odd one grows by a column or row like its neighbour, so that none is lost.

        Raises:
            InputError: if OpenCV cannot write such a video.
        """
        if self._writer is None:
            _check_name(str(self._path), f"video {self._path}")
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._size = width, height = (frame.shape[1], frame.shape[0])
            even = (width + width % 2, height + height % 2)
            self._writer = cv2.VideoWriter(str(self._path), code, self._fps, even)
            if not self._writer.isOpened():
                raise InputError(
                    f"OpenCV writes no video of {width} x {height} pixels as MPEG-4 (mp4v): it lacks the codec, or the "
                    "codec this size"
                )
        if (frame.shape[1], frame.shape[0]) != self._size:
            frame = np.asarray(cv2.resize(frame, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        width, height = self._size
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        self._writer.write(swap_red_and_blue(frame))
        self.number += 1

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.release()


@contextmanager
def written_video(path: Path, fps: float) -> Iterator[VideoWriter]:
    """A writer whose file becomes ``path`` at the end, also after Ctrl-C, which ends a camera; an error removes it.

    Without a frame, what is there stays.

    Raises:
        InputError: if not all frames could be written.
    """
    handle, scratch = tempfile.mkstemp(prefix=scratch_prefix(path), suffix=".tmp.mp4", dir=path.parent)
    os.close(handle)
    writer = VideoWriter(Path(scratch), fps)
    try:
        yield writer
    except KeyboardInterrupt:
        try:
            _finish(writer, scratch, path)
        except InputError as error:  # which must not take the place of what ends the run
            print(f"error: {error}", file=sys.stderr)
        raise
    except BaseException:
        writer.close()
        os.unlink(scratch)
        raise
    _finish(writer, scratch, path)


def _finish(writer: VideoWriter, scratch: str, path: Path) -> None:
    try:
        writer.close()
        if writer.number:
            _check_written(Path(scratch), writer.number, path)
            publish(scratch, path)
    finally:
        Path(scratch).unlink(missing_ok=True)


def _check_written(scratch: Path, number: int, path: Path) -> None:
    """Refuse a file that lacks frames: OpenCV says nothing of what it could not write."""
    try:
        reader = VideoReader(scratch)
        reader.close()
        found = reader.num_frames or 0
    except InputError:
        found = 0
    if found < number:
        raise InputError(f"video {path} could not be written whole; the disk may be full")


def _written_fps(fps: float) -> float:
    """The nearest rate that MPEG-4 can tell: OpenCV writes it as a fraction, whose parts end at 65,535."""
    return max(0.002, round(fps, 3 if fps < 65 else 2 if fps < 650 else 0))


def _check_name(name: str, shown: str) -> None:
    """Refuse a name that is no UTF-8: at one, OpenCV ends the process."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        words = shown.encode(errors="backslashreplace").decode()
        raise InputError(f"{words} cannot be opened, since its name is not UTF-8; rename it") from error
