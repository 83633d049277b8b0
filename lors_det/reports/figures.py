"""Matplotlib's figures: names in them as they are written, and files that are whole."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

from lors_det.data.letters import font_file
from lors_det.files import write_whole


def as_written(texts: Iterable[Text]) -> None:
    """Give each text of a figure a font that has its letters; a ``$`` in it is one, and begins no mathematics."""
    for text in texts:
        text.set_parse_math(False)
        font = text.get_fontproperties().copy()
        font.set_file(font_file(text.get_text()))
        text.set_fontproperties(font)


def write_figure(figure: Figure, path: str | Path, *, dpi: int) -> None:
    """Write a figure as PNG.

    Raises:
        InputError: if the path is a folder, or is in none.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+", UserWarning)  # of each letter, what font_file said of all
        write_whole(Path(path), lambda file: figure.savefig(file, format="png", dpi=dpi))
