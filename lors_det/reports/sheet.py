"""A sheet of images with boxes, in rows of equal cells: what no figure tells is seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lors_det.data.drawn_boxes import colour_of, draw_boxes
from lors_det.data.letters import font_file
from lors_det.files import write_whole

NUM_COLUMNS = 4
CELL_PX = 480
"""Longer side of an image on the sheet; smaller ones are enlarged to it, as their texts are not."""
MOST_NAMED = 25
"""Boxes of an image whose classes are written beside them; of more, colours tell, and a legend of them."""
MOST_IN_LEGEND = 20

GAP_PX, LINE_PX, LETTERS_PX = 8, 22, 14


class Labelled(NamedTuple):
    """An image and its boxes.

    Attributes:
        title: what is written above it.
        image: (H, W, 3), RGB, uint8.
        boxes: (n, 4), x1, y1, x2, y2 in pixels, best first.
        labels: of the boxes, numbers of classes.
        names: of these classes.
        scores: of the boxes, written behind the names.
    """

    title: str
    image: NDArray[np.uint8]
    boxes: NDArray[Any]
    labels: Sequence[int]
    names: Sequence[str]
    scores: Sequence[float] | None = None


def write_sheet(samples: Iterable[Labelled], path: Path, title: str) -> None:
    """Write a PNG file of all the images, with each box in the colour of its class.

    Args:
        samples: at least one.
        path: file to write.
        title: of the sheet.
    """
    titles: list[str] = []
    pictures: list[NDArray[np.uint8]] = []
    crowded: dict[int, str] = {}
    for sample in samples:  # drawn as they come, for they may be many and large
        titles.append(sample.title)
        pictures.append(_drawn(sample))
        if len(sample.boxes) > MOST_NAMED:
            crowded |= zip(sample.labels, sample.names)
    num_columns = min(NUM_COLUMNS, len(pictures))
    width = GAP_PX + num_columns * (CELL_PX + GAP_PX)
    starts = range(0, len(pictures), num_columns)
    heights = [max(len(picture) for picture in pictures[start : start + num_columns]) for start in starts]
    head = _head(title, crowded, width)
    height = len(head) + sum(LINE_PX + each + GAP_PX for each in heights)
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(Image.fromarray(head), (0, 0))
    pen, font, y = ImageDraw.Draw(sheet), _font(titles), len(head)
    for start, row_height in zip(starts, heights):
        for place in range(start, min(start + num_columns, len(pictures))):
            x = GAP_PX + (place - start) * (CELL_PX + GAP_PX)
            pen.text((x, y), _shortened(titles[place], font, CELL_PX), fill="black", font=font)
            sheet.paste(Image.fromarray(pictures[place]), (x, y + LINE_PX))
        y += LINE_PX + row_height + GAP_PX
    write_whole(path, lambda file: sheet.save(file, format="png"))


def _drawn(sample: Labelled) -> NDArray[np.uint8]:
    """The image in the size of a cell, with its boxes."""
    scale = CELL_PX / max(sample.image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in sample.image.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = np.asarray(cv2.resize(sample.image, (width, height), interpolation=way), np.uint8)
    texts = list(sample.names)
    if sample.scores is not None:
        texts = [f"{name} {score:.2f}" for name, score in zip(texts, sample.scores)]
    if len(texts) > MOST_NAMED:
        texts = [""] * len(texts)
    return draw_boxes(image, sample.boxes * scale, labels=np.array(sample.labels, int), texts=texts)


def _head(title: str, crowded: dict[int, str], width: int) -> NDArray[np.uint8]:
    """The title, and the colours of the classes whose names are not beside their boxes, as far as there is room."""
    shown = dict(islice(sorted(crowded.items()), MOST_IN_LEGEND))
    font = _font([title, *shown.values()])
    places, x, y = [], GAP_PX, GAP_PX + LINE_PX
    if shown:
        more = f", and {len(crowded) - len(shown)} more" if len(crowded) > len(shown) else ""
        title = f"{title}\nclasses in images of more than {MOST_NAMED} boxes{more}:"
        y += LINE_PX
    for label, name in shown.items():
        text = _shortened(name, font, CELL_PX // 2)
        needed = LETTERS_PX + GAP_PX // 2 + round(font.getlength(text)) + 2 * GAP_PX
        if x > GAP_PX and x + needed > width:
            x, y = GAP_PX, y + LINE_PX
        places.append((x, y, label, text))
        x += needed
    head = Image.new("RGB", (width, y + (LINE_PX if shown else 0) + GAP_PX), "white")
    pen = ImageDraw.Draw(head)
    for number, line in enumerate(title.split("\n")):
        place = (GAP_PX, GAP_PX + number * LINE_PX)
        pen.text(place, _shortened(line, font, width - 2 * GAP_PX), fill="black", font=font)
    for x, y, label, text in places:
        pen.rectangle((x, y + 2, x + LETTERS_PX, y + 2 + LETTERS_PX), fill=colour_of(label))
        pen.text((x + LETTERS_PX + GAP_PX // 2, y), text, fill="black", font=font)
    return np.array(head)


def _font(texts: Sequence[str]) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file("".join(texts)), LETTERS_PX)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """On one line, and without its beginning where it is too long: a file's name is told by its end."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"
