"""What an image file is: decoded once, as training decodes it, and measured on the way."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lors_det.data.decoding import pixels_of
from lors_det.data.images import exif_orientation, open_header

Form = Literal["colour", "grey", "CMYK", "palette", "alpha", "unknown"]

THUMBNAIL_PX = 32
"""Side of the thumbnails that images are compared by."""

_FORMS: dict[str, Form] = {
    **dict.fromkeys(("1", "L", "I", "F", "I;16", "I;16B", "I;16L"), "grey"),
    **dict.fromkeys(("P", "PA"), "palette"),
    **dict.fromkeys(("LA", "La", "RGBA", "RGBa"), "alpha"),
    **dict.fromkeys(("RGB", "YCbCr", "LAB", "HSV"), "colour"),
    "CMYK": "CMYK",
}
_JPEG = b"\xff\xd8\xff"
_ENDS = {_JPEG: b"\xff\xd9", b"\x89PNG": b"IEND\xaeB`\x82"}
"""How a whole file ends, by its first bytes; some cameras and tools write more after it."""

_AFTER_THE_END = 65536
"""Bytes at most of what they write."""


@dataclass(frozen=True)
class ImageFacts:
    """A file as it was found. Without ``problem``, all of the rest is known."""

    problem: Literal["missing", "unreadable", "truncated", "undecodable"] | None = None
    size: tuple[int, int] | None = None
    """Width and height as the loader gives the image: turned by its EXIF orientation."""
    orientation: int = 1
    """EXIF's, 1 to 8; 1 where the loader turns nothing."""
    form: Form = "unknown"
    bits: int = 8
    """Of a channel, as stored."""
    peak: int = 255
    """The largest value, of images with more than 8 bits a channel."""
    digest: bytes = b""
    """Of the file's bytes."""
    thumbnail: NDArray[np.uint8] | None = None
    """(32, 32) grey, of what the loader shows; stretched to it."""


def read_facts(paths: Sequence[str]) -> Iterator[ImageFacts]:
    """What each file is, in their order. Threads suffice: OpenCV decodes outside of Python's lock."""
    with ThreadPoolExecutor(max(4, os.cpu_count() or 1)) as pool:
        yield from pool.map(read_image_facts, paths)


def read_image_facts(path: str) -> ImageFacts:
    """Decode a file as mmcv's LoadImageFromFile does (OpenCV's IMREAD_COLOR from memory), or find that it cannot be.

    JPEGs are decoded at an eighth of their size, which fails where decoding them whole fails and is several times
    faster; other forms are decoded whole, at the depth of their channels.
    """
    try:
        content = np.fromfile(path, np.uint8)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ImageFacts("missing")
    except OSError:  # no right to, or of the disk or the network
        return ImageFacts("unreadable")
    if not content.size:
        return ImageFacts("truncated")
    raw = content.tobytes()
    form, stored, orientation = _header(raw)
    jpeg_size = stored if raw.startswith(_JPEG) else None
    pixels = pixels_of(content, _jpeg_flag(jpeg_size) if jpeg_size else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is not None and pixels.dtype not in (np.uint8, np.uint16):
        # numbers with a point: as the loader asks for them, in bytes, OpenCV does not decode them
        pixels = pixels_of(content, cv2.IMREAD_COLOR)
    if pixels is None:
        return ImageFacts("truncated" if stored is not None and _is_cut(raw) else "undecodable")
    size: tuple[int, int] = (pixels.shape[1], pixels.shape[0])
    if jpeg_size:
        size = (jpeg_size[1], jpeg_size[0]) if orientation >= 5 else jpeg_size
    elif size == stored and size[0] != size[1] and orientation >= 5:
        orientation = 1  # of a form that this OpenCV does not turn, or that Pillow had turned already
    return ImageFacts(
        size=size,
        orientation=orientation,
        form=form,
        bits=8 * pixels.dtype.itemsize,
        peak=int(pixels.max()),
        digest=hashlib.blake2b(raw, digest_size=16).digest(),
        thumbnail=_thumbnail(pixels),
    )


def _header(raw: bytes) -> tuple[Form, tuple[int, int] | None, int]:
    """Form, size as stored and orientation by the header; Pillow does not know all of what OpenCV reads."""
    try:
        with warnings.catch_warnings(), io.BytesIO(raw) as file:
            warnings.simplefilter("ignore")
            image = open_header(file)
            form = _FORMS.get(image.mode, "unknown")
            if form == "colour" and "transparency" in image.info:
                form = "alpha"
            return form, image.size, exif_orientation(image, file)
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):  # what broken headers raise
        return "unknown", None, 1


def _jpeg_flag(size: tuple[int, int]) -> int:
    """How far a JPEG may be reduced while it keeps at least a thumbnail's pixels."""
    shortest = min(size) // THUMBNAIL_PX
    if shortest >= 8:
        return cv2.IMREAD_REDUCED_GRAYSCALE_8
    return cv2.IMREAD_REDUCED_GRAYSCALE_4 if shortest >= 4 else cv2.IMREAD_GRAYSCALE


def _is_cut(raw: bytes) -> bool:
    """Whether the end of a file is missing, for forms that have one."""
    return any(raw.startswith(start) and end not in raw[-_AFTER_THE_END:] for start, end in _ENDS.items())


def ends_early(path: str) -> bool:
    """Whether the end of an image is missing, by a few of its bytes, where its form has one."""
    with open(path, "rb") as file:
        first = file.read(8)
        for start, end in _ENDS.items():
            if first.startswith(start):
                size = file.seek(0, os.SEEK_END)
                for length in (len(end), _AFTER_THE_END):  # the last bytes of nearly all
                    file.seek(max(0, size - length))
                    if end in file.read():
                        return False
                return True
    return False


def _thumbnail(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    small = cv2.resize(pixels, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    if small.ndim == 3:
        small = small[..., :3].mean(-1)
    if pixels.dtype == np.uint16:
        small = small * (255.0 / max(int(pixels.max()), 1))
    return np.asarray(small).round().astype(np.uint8)
