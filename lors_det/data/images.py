"""Image files: which names are images, and how large an image is as it is displayed, without decoding it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from lors_det.data.listing import Listing
from lors_det.errors import InputError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Lower case; of several files of one stem, the first in this order is taken."""

_ORIENTATION = 0x0112
_WIDTH, _HEIGHT = 256, 257  # of TIFF
_TURNS_WEBP = tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= (4, 13)
_TURNED = ("JPEG", "MPO", "PNG", "TIFF", *["WEBP"] * _TURNS_WEBP)  # formats whose orientation OpenCV's imread applies


def is_image(name: str) -> bool:
    """Whether a file name has an image's suffix, in upper or lower case."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def images_below(folder: str, listing: Listing) -> list[str]:
    """Paths of the images in a folder and its sub-folders, sorted folder by folder."""
    return [f"{place}/{name}" for place, names in listing.walk(folder) for name in names if is_image(name)]


def displayed_size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels as OpenCV's imread gives the image: turned by its EXIF orientation.

    Read from the header alone, so that a file whose pixels are cut off has a size too.

    Raises:
        InputError: if the file cannot be opened or is no image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            if isinstance(image, TiffImagePlugin.TiffImageFile):  # its size is turned in some versions of Pillow
                width, height = int(image.tag_v2[_WIDTH]), int(image.tag_v2[_HEIGHT])
            turned = image.format in _TURNED and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is no image that can be read; replace it or take it out of the set") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); replace it") from error
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises for broken headers
        raise InputError(f"{path} is no image that can be read ({error}); replace it") from error
    return (height, width) if turned else (width, height)


def displayed_sizes(paths: Iterable[str | Path]) -> list[tuple[int, int] | InputError]:
    """:func:`displayed_size` of many files, in their order; the error itself where a file has none."""

    def size(path: str | Path) -> tuple[int, int] | InputError:
        try:
            return displayed_size(path)
        except InputError as error:
            return error

    with ThreadPoolExecutor(8) as pool:  # waiting for disks and network file systems takes most of the time
        return list(pool.map(size, paths))
