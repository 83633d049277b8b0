"""Pixels of an image file's bytes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


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
