"""Image files: which names are images, and how large an image is as it is displayed, without decoding it.

Sizes must be those of OpenCV, which decodes in training, to the pixel: data sets are refused by them.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
from PIL import Image, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from lors_det.data.listing import Listing
from lors_det.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Lower case; of several files of one stem, the first in this order is taken."""

UNREAD_SUFFIXES = (
    *(".gif", ".heic", ".heif", ".avif", ".jfif", ".jp2", ".jxl", ".pbm", ".pgm", ".ppm", ".tga", ".ico", ".svg"),
    *(".dng", ".cr2", ".nef", ".arw", ".psd", ".exr", ".hdr"),
)
"""Of images that are passed over: OpenCV reads them not at all, or not on every machine."""

MAX_PIXELS = 1 << 30
"""Of an image that OpenCV decodes."""

_ORIENTATION = 0x0112
_WIDTH, _HEIGHT = 256, 257  # of TIFF
_TURNS_WEBP = tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= (4, 13)
_TURNED = ("JPEG", "MPO", "PNG", "TIFF", *["WEBP"] * _TURNS_WEBP)  # formats whose orientation OpenCV's imread applies
_FORMATS: dict[bytes, type[ImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG": PngImageFile,
    b"BM": BmpImageFile,
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImageFile),
}
"""By how files begin."""
_END = 1 << 17  # bytes, more than EXIF data have


class Header(NamedTuple):
    """What the header of a file says of the image as OpenCV's imread gives it."""

    size: tuple[int, int]
    """Width and height in pixels, turned by the orientation."""
    orientation: int
    """EXIF's, 1 to 8; 1 where OpenCV turns nothing."""


def is_image(name: str) -> bool:
    """Whether a file name has an image's suffix, in upper or lower case."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def images_below(folder: str, listing: Listing) -> list[str]:
    """Paths of the images in a folder and its sub-folders, sorted folder by folder."""
    return [f"{place}/{name}" for place, names in listing.walk(folder) for name in names if is_image(name)]


def open_header(file: BinaryIO) -> ImageFile:
    """An image file of which only the header is read, however large the image is.

    ``Image.open`` refuses what would take much memory once decoded, a limit of the whole process; here nothing is
    decoded. Formats that few data sets are in are left to it.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: what Pillow raises for what it cannot read.
    """
    start = file.read(4)
    file.seek(0)
    for beginning, form in _FORMATS.items():
        if start.startswith(beginning):
            return form(file)
    return Image.open(file)


def exif_orientation(image: ImageFile, file: BinaryIO) -> int:
    """The EXIF orientation, 1 to 8, that OpenCV's imread turns an image by; 1 where it turns nothing.

    That is the one of EXIF data alone: Pillow also believes XMP, and looks behind the pixels of a PNG by decoding them.
    """
    if image.format not in _TURNED:
        return 1
    if isinstance(image, TiffImageFile):
        found = image.tag_v2.get(_ORIENTATION)
    else:
        data = image.info.get("exif") or (_late_exif(file) if image.format == "PNG" else b"")
        exif = Image.Exif()
        try:
            exif.load(data)
            found = exif.get(_ORIENTATION)
        except (SyntaxError, ValueError, struct.error):  # OpenCV passes over what is malformed
            found = None
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _late_exif(file: BinaryIO) -> bytes:
    """EXIF data behind the pixels of a PNG file, where some tools put them; empty without.

    Their checksum tells them from pixels that happen to read so.
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(max(0, length - _END))
    end = file.read()
    start = end.rfind(b"eXIf")
    if start < 4:
        return b""
    stop = start + 4 + int.from_bytes(end[start - 4 : start], "big")
    is_chunk = zlib.crc32(end[start:stop]) == int.from_bytes(end[stop : stop + 4], "big")
    return end[start + 4 : stop] if is_chunk else b""


def read_header(path: str | Path) -> Header:
    """What a file's header says, so that a file whose pixels are cut off has a size too.

    Raises:
        InputError: if the file cannot be opened, is no image, or has more pixels than can be decoded.
    """
    try:
        with open(path, "rb") as file:
            image = open_header(file)
            width, height = image.size
            if isinstance(image, TiffImageFile):  # its size is turned in some versions of Pillow
                width, height = int(image.tag_v2[_WIDTH]), int(image.tag_v2[_HEIGHT])
            orientation = exif_orientation(image, file)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is no image that can be read; replace it or take it out of the set") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} is too large an image to be read ({error}); cut it into tiles") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); replace it") from error
    except (ValueError, SyntaxError) as error:  # what Pillow raises for broken headers
        raise InputError(f"{path} is no image that can be read ({error}); replace it") from error
    if width * height > MAX_PIXELS:
        what = f"has {width} x {height} pixels, of which OpenCV decodes at most {MAX_PIXELS}"
        raise InputError(f"{path} {what}; cut it into tiles")
    return Header((height, width) if orientation >= 5 else (width, height), orientation)


def read_headers(paths: Iterable[str | Path]) -> list[Header | InputError]:
    """:func:`read_header` of many files, in their order; the error itself where a file has none."""

    def header(path: str | Path) -> Header | InputError:
        try:
            return read_header(path)
        except InputError as error:
            return error

    with ThreadPoolExecutor(8) as pool:  # waiting for disks and network file systems takes most of the time
        return list(pool.map(header, paths))


def displayed_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels as OpenCV's imread gives the image, from the header; raises as :func:`read_header`."""
    return read_header(path).size


def displayed_sizes(paths: Iterable[str | Path]) -> list[tuple[int, int] | InputError]:
    """:func:`displayed_size` of many files, in their order; the error itself where a file has none."""
    return [found if isinstance(found, InputError) else found.size for found in read_headers(paths)]
