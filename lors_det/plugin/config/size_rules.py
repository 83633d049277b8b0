"""What a training set's size asks for: the side of its images, batches and epochs, and when the rate falls."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np

SIDE_STEP_PX = 32
SIDE_LIMITS_PX = (320, 448)
"""Bounds of a chosen image side, for training without a GPU in mind."""

SMALL_BOX_PX = 24
"""What the smaller boxes should measure, sqrt(w h), in the network's image: six cells of its finest level."""

EPOCHS = 30
"""Of sets up to ``NUM_IMAGES``; larger ones need fewer."""
NUM_IMAGES = 500
EPOCHS_LIMITS = (12, 300)
MIN_STEPS = 1200
"""Optimiser steps that a training has at least; a choice, as the other numbers here."""


def image_side(content: dict[str, Any]) -> tuple[int, str]:
    """Long side of the network's image for a COCO record, in pixels, and why."""
    long_sides = {image["id"]: max(image["width"], image["height"]) for image in content["images"]}
    own = float(np.median(list(long_sides.values())))
    relative = [
        float(np.sqrt(box["bbox"][2] * box["bbox"][3])) / long_sides[box["image_id"]]
        for box in content["annotations"]
        if min(box["bbox"][2:]) > 0
    ]
    least, most = SIDE_LIMITS_PX
    small = float(np.quantile(relative, 0.1)) if relative else SMALL_BOX_PX / most
    wanted = min(SMALL_BOX_PX / small, ceil(own / SIDE_STEP_PX) * SIDE_STEP_PX)
    side = int(np.clip(ceil(wanted / SIDE_STEP_PX) * SIDE_STEP_PX, least, most))
    why = f"a tenth of the boxes are smaller than {small:.1%} of the image's long side, {own:.0f} pixels"
    if wanted > side:
        why += f"; {ceil(wanted / SIDE_STEP_PX) * SIDE_STEP_PX} would suit them, {most} suits two cores, and "
        why += "--image-side takes any"
    return side, why


def batch_size(num_images: int) -> int:
    """Images of a batch."""
    return 4 if num_images < 2_000 else 8 if num_images < 20_000 else 16


def epochs(num_images: int, size: int) -> int:
    """Passes over a set of so many images, in batches of a size."""
    passes = round(EPOCHS * min(1.0, (NUM_IMAGES / num_images) ** 0.25))
    return int(np.clip(max(passes, ceil(MIN_STEPS / ceil(num_images / size))), *EPOCHS_LIMITS))


def first_fall(epochs: int) -> int:
    """Epochs for which a learning rate stays before it falls: a third of a training's, as docs/recipes.md measures."""
    return epochs // 3
