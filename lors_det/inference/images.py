"""Images as they come: files, Pillow's images and arrays; inside, all are RGB arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lors_det.data.decoding import pixels_of, why_not_decoded
from lors_det.data.images import IMAGE_SUFFIXES
from lors_det.errors import InputError
from lors_det.files import write_whole

ImageLike: TypeAlias = "str | Path | Image.Image | NDArray[np.uint8]"
"""A file, an image of Pillow, or an array (H, W, 3), RGB, or (H, W), grey, uint8."""


def as_rgb(image: ImageLike) -> NDArray[np.uint8]:
    """An image as (H, W, 3), RGB, uint8, turned as it is displayed: by the EXIF orientation, where it has one.

    Files are decoded by OpenCV, as training does; Pillow's decoder rounds a JPEG's colours differently. What is
    transparent is taken for opaque, and of 16 bits the upper 8 count, as in files. An array that is RGB already is not
    copied.

    Raises:
        InputError: if the file is missing or no image, Pillow's image has no range of values, or the array has another
            shape or type.
    """
    if isinstance(image, (str, Path)):
        return read_image(checked_path(image))
    if isinstance(image, Image.Image):
        return _from_pillow(image)
    return check_array(image)


def _from_pillow(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("I", "F"):
        raise InputError(
            f'an image of Pillow has mode "{image.mode}", whose values have no range of their own; '
            "scale them to 0..255 and pass an array (H, W), uint8"
        )
    try:
        turned = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16"):  # Pillow's own conversion cuts all above 255
            return check_array((np.asarray(turned) >> 8).astype(np.uint8))
        return check_array(np.array(turned.convert("RGB")))
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for broken files and for other modes
        raise InputError(f'an image of Pillow, mode "{image.mode}", cannot be read as RGB: {error}') from error


def check_array(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An array as (H, W, 3); grey becomes three equal channels.

    Raises:
        InputError: if it is no image: another type, shape or value type.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        raise InputError("an image came as encoded bytes; open it first: PIL.Image.open(io.BytesIO(content))")
    if not isinstance(image, np.ndarray):
        raise InputError(
            f"an image is a {type(image).__name__}; it must be a path, an image of Pillow or a NumPy array (H, W, 3)"
        )
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise InputError(
            f"an image is an array of shape {image.shape} and type {image.dtype}; it must be (H, W, 3), RGB, or "
            "(H, W), uint8"
        )
    return image


def read_image(path: Path) -> NDArray[np.uint8]:
    """A file as (H, W, 3), RGB, as it is displayed.

    Raises:
        InputError: if it is missing or no image.
    """
    checked_path(path)
    image = pixels_of(np.fromfile(path, np.uint8))
    if image is None:
        raise InputError(f"image {path} cannot be decoded: {why_not_decoded(path)}")
    return swap_red_and_blue(np.asarray(image, np.uint8))


def checked_path(image: str | Path) -> Path:
    """The path of a file that is there.

    Raises:
        InputError: if it is none; it names the path.
    """
    if "://" in str(image):
        raise InputError(f"image {image} is an address, and nothing is fetched; download it and name the file")
    path = Path(image)
    if not path.is_file():
        raise InputError(f"image {path} " + ("is a folder" if path.is_dir() else "does not exist"))
    return path


def swap_red_and_blue(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Swap the first and the last channel; the same function leads back."""
    return np.ascontiguousarray(image[..., ::-1])


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB image in the format that the suffix names, whole or not at all.

    Raises:
        InputError: if the suffix is no image's, the format cannot hold an image of this size, or the folder does not
            exist.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(f"{path}: the suffix must name an image format: {', '.join(IMAGE_SUFFIXES)}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: its folder does not exist")
    try:
        encoded, content = cv2.imencode(path.suffix.lower(), swap_red_and_blue(image))
    except cv2.error:
        encoded = False
    if not encoded:
        size = f"{image.shape[1]} x {image.shape[0]}"
        raise InputError(f"{path}: the format cannot hold an image of {size} pixels; name another, such as .png")
    write_whole(path, lambda file: file.write(content.tobytes()))
