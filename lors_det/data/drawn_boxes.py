"""Boxes drawn on an image. Pillow writes the names, for OpenCV knows ASCII alone."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lors_det.data.letters import font_file

Colour = tuple[int, int, int]
Area = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""

SMALLEST_TEXT = 7
"""Pixels; smaller letters cannot be read."""

_ROOMY = 4
"""Heights of a text, from which on a box is hidden by none inside of it."""

_GOLDEN = 0.61803399  # steps of this part of the circle keep hues apart, however many there are


def draw_boxes(
    image: NDArray[np.uint8], boxes: NDArray[Any], *, labels: NDArray[Any], texts: Sequence[str]
) -> NDArray[np.uint8]:
    """A copy of an RGB image with a box and a text for each object, the best on top.

    Lines and letters grow with the image, so that they are readable at any size; an image too small for its texts has
    the boxes alone. A text lies above its box, or where that would cover a better one's, at another corner.

    Args:
        image: (H, W, 3).
        boxes: (n, 4), xyxy in pixels, best first; what leaves the image is cut.
        labels: (n,), one colour each.
        texts: n of them; an empty one is not written.
    """
    canvas = Image.fromarray(image)  # a copy
    height, width = image.shape[:2]
    line = max(2, round((width + height) / 800))
    pen, font = ImageDraw.Draw(canvas), _fitting_font(texts, width, height)
    corners = [(*_within(x1, x2, width), *_within(y1, y2, height)) for x1, y1, x2, y2 in boxes.tolist()]
    colours = [colour_of(label) for label in labels.tolist()]
    for (left, right, top, bottom), colour in reversed(list(zip(corners, colours))):
        pen.rectangle((left, top, right, bottom), outline=colour, width=line)
    if font is None:
        return np.array(canvas)
    written: list[tuple[Area, str, Colour]] = []
    for box, colour, text in zip(corners, colours, texts):
        if text:
            _, _, text_width, text_height = pen.textbbox((0, 0), text, font=font)
            size = (text_width + 4, text_height + 2)
            written.append((_place(box, size, (width, height), [area for area, _, _ in written]), text, colour))
    for (x1, y1, x2, y2), text, colour in reversed(written):
        pen.rectangle((x1, y1, x2, y2), fill=colour)
        pen.text((x1 + 2, y1), text, fill=_readable_on(colour), font=font)
    return np.array(canvas)


def _place(
    box: tuple[float, float, float, float], size: tuple[float, float], image: tuple[int, int], taken: Sequence[Area]
) -> Area:
    """Of a text: above its box, inside or below it, left or right; the first where it covers none of those taken.

    Args:
        box: left, right, top, bottom.
        size: width and height of the text.
        image: width and height.
        taken: by other texts.
    """
    left, right, top, bottom = box
    width, height = size
    x_end, y_end = image[0] - width - 1, image[1] - height - 1
    possible = []
    inside, below = (top, bottom - height), (bottom,)
    for y in (top - height, *(inside + below if bottom - top > _ROOMY * height else below + inside)):
        if 0 <= y <= y_end:
            for x in (left, right - width):
                x = max(0.0, min(x, x_end))
                possible.append((x, y, x + width, y + height))
    if not possible:  # a box as high as the image, and that is hardly higher than the text
        x, y = max(0.0, min(left, x_end)), max(0.0, min(top, y_end))
        return x, y, x + width, y + height
    return next((area for area in possible if not any(_overlap(area, other) for other in taken)), possible[0])


def _overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


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
