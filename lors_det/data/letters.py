"""A font that has the letters of a name."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from matplotlib import font_manager

_logger = logging.getLogger(__name__)


def font_file(text: str) -> str:
    """A font that has the letters of a text: Matplotlib's own, which comes with it, or one of the machine's.

    Of letters that no font has, pictures show squares; a warning names them, once.
    """
    return _font_file("".join(sorted({letter for letter in text if not letter.isascii()})))


@cache
def _font_file(letters: str) -> str:
    """The first of the fonts with the most of these letters, Matplotlib's own before others."""
    own = str(font_manager.findfont("DejaVu Sans"))
    best, lacking = own, _lacking(own, letters)
    if not lacking:
        return own
    # Matplotlib keeps its list of fonts from one run to the next: what was installed since is not in it
    known = {entry.fname for entry in font_manager.fontManager.ttflist if Path(entry.fname).is_file()}
    for file in sorted(known | set(font_manager.findSystemFonts())):
        if "LastResort" in file:  # has a frame for every letter
            continue
        missing = _lacking(file, letters)
        if len(missing) < len(lacking):
            best, lacking = file, missing
        if not missing:
            break
    if lacking:
        _logger.warning(
            "no font of this machine has %s: pictures show squares in their place; install one that has them, "
            "for example of the Noto family",
            lacking if len(lacking) <= 10 else f"{lacking[:10]}...",
        )
    return best


def _lacking(file: str, letters: str) -> str:
    """Those of the letters that a font does not have; all of a file that is none."""
    try:
        has = font_manager.get_font(file).get_charmap()
    except (OSError, RuntimeError):  # cannot be read; FreeType does not know it
        return letters
    return "".join(letter for letter in letters if ord(letter) not in has)
