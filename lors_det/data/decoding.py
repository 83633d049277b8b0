"""Pixels of an image file's bytes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def pixels_of(content: NDArray[np.uint8], flag: int = cv2.IMREAD_COLOR) -> NDArray[Any] | None:
    """What OpenCV makes of them, (H, W, 3) BGR or (H, W); None where that is no image.

    Of bytes that claim a size beyond its limit, OpenCV raises instead of giving none.
    """
    if not content.size:
        return None
    try:
        return cv2.imdecode(content, flag)
    except cv2.error:
        return None


def why_not_decoded(path: str | Path) -> str:
    """Words for a file that OpenCV does not decode: what it is and the remedy, where Pillow can tell."""
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            image.load()
        return (
            f'it is a {image.format} of mode "{image.mode}", which OpenCV does not read; save it as 8-bit PNG or JPEG'
        )
    except Image.DecompressionBombError:
        return "it has more pixels than can be read at once, or is damaged; cut it into smaller ones"
    except Exception as error:  # whatever a decoder raises
        if isinstance(error, OSError) and error.strerror:  # of the file, not of its content
            return error.strerror
        return "it may be truncated or no image"
