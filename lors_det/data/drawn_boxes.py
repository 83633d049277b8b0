"""Boxes drawn on an image. Pillow writes the names, for OpenCV knows ASCII alone."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

SMALLEST_TEXT = 7
"""Pixels; smaller letters cannot be read."""

_GOLDEN = 0.61803399  # steps of this part of the circle keep hues apart, however many there are


def draw_boxes(
    image: NDArray[np.uint8], boxes: NDArray[Any], *, labels: NDArray[Any], texts: Sequence[str]
) -> NDArray[np.uint8]:
    """A copy of an RGB image with a box and a text for each object, the best on top.

    Lines and letters grow with the image, so that they are readable at any size; an image too small for its texts has
    the boxes alone.

    Args:
        image: (H, W, 3).
        boxes: (n, 4), xyxy in pixels, best first; what leaves the image is cut.
        labels: (n,), one colour each.
        texts: n of them.
    """
    canvas = Image.fromarray(image)  # a copy
    height, width = image.shape[:2]
    line = max(2, round((width + height) / 800))
    pen, font = ImageDraw.Draw(canvas), _fitting_font(texts, width, height)
    ordered = list(zip(boxes.tolist(), labels.tolist(), texts))
    for (x1, y1, x2, y2), label, text in reversed(ordered):
        left, right = _within(x1, x2, width)
        top, bottom = _within(y1, y2, height)
        colour = colour_of(label)
        pen.rectangle((left, top, right, bottom), outline=colour, width=line)
        if font is None:
            continue
        _, _, text_width, text_height = pen.textbbox((0, 0), text, font=font)
        # above the box, or inside where there is no room above
        x = max(0, min(left, width - text_width - 5))
        y = top - text_height - 2 if top >= text_height + 2 else max(0, min(top, height - text_height - 3))
        pen.rectangle((x, y, x + text_width + 4, y + text_height + 2), fill=colour)
        pen.text((x + 2, y), text, fill=_readable_on(colour), font=font)
    return np.array(canvas)


def colour_of(label: int) -> Colour:
    """A class's colour, RGB: hues as far apart as their number allows."""
    red, green, blue = colorsys.hsv_to_rgb((0.55 + label * _GOLDEN) % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _within(low: float, high: float, size: int) -> tuple[float, float]:
    """Both ends inside the image, in order: a box may lie beyond it, or be turned inside out."""
    low, high = (min(max(end, 0), size - 1) for end in (low, high))
    return low, max(low, high)


def _readable_on(colour: Colour) -> Colour:
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _fitting_font(texts: Sequence[str], width: int, height: int) -> ImageFont.FreeTypeFont | None:
    """Letters that grow with the image, smaller where a text would leave it or fill it; None where none can be read."""
    file = font_file("".join(texts))
    wanted = max(12, round((width + height) / 110))
    longest = max((ImageFont.truetype(file, wanted).getlength(text) for text in texts), default=0)
    room = (width - 6) / longest if longest else 1.0
    size = int(min(wanted, wanted * room, height / 4))
    return ImageFont.truetype(file, size) if size >= SMALLEST_TEXT else None


def font_file(text: str) -> str:
    """A font that has the letters of a text: Matplotlib's own, which comes with it, or one of the machine's."""
    return _font_file("".join(sorted({letter for letter in text if not letter.isascii()})))


@cache
def _font_file(letters: str) -> str:
    """The first font with all of these letters; where there is none, Matplotlib's own, with empty squares for them."""
    own = font_manager.findfont("DejaVu Sans")
    wanted = set(map(ord, letters))
    others = sorted(entry.fname for entry in font_manager.fontManager.ttflist if letters)
    for file in (own, *(file for file in others if "LastResort" not in file)):  # which has a frame for every letter
        if wanted <= set(font_manager.get_font(file).get_charmap()):
            return file
    return own
