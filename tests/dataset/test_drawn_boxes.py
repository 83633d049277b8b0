"""Names are drawn in letters that can be read."""

from __future__ import annotations

import pytest
from matplotlib import font_manager

from lors_det.data.drawn_boxes import _font_file


def test_a_font_has_the_letters_that_it_writes():
    """Of letters that the standard font lacks, another one is taken where the machine has one that draws them."""
    own = _font_file("")
    assert _font_file("éЖα") == own
    letters = (
        chr(code)
        for entry in sorted(font_manager.fontManager.ttflist, key=lambda entry: entry.fname)
        if "LastResort" not in entry.fname
        for code in sorted(font_manager.get_font(entry.fname).get_charmap())
        if code > 127 and code not in font_manager.get_font(own).get_charmap()
    )
    letter = next(letters, None)
    if letter is None:
        pytest.skip("this machine has no font with letters that Matplotlib's own lacks")
    assert _font_file(letter) != own
    assert ord(letter) in font_manager.get_font(_font_file(letter)).get_charmap()
    assert _font_file("\U0010fffd") == own  # nobody has it
