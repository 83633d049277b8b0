"""Fonts that have the letters of names."""

from __future__ import annotations

import logging

import pytest
from matplotlib import font_manager

from lors_det.data.letters import font_file


def test_a_font_has_the_letters_that_it_writes():
    """Of letters that the standard font lacks, another one is taken where the machine has one that draws them."""
    own = font_file("")
    assert font_file("éЖα") == own
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
    assert font_file(letter) != own
    assert ord(letter) in font_manager.get_font(font_file(letter)).get_charmap()


def test_letters_that_no_font_has_are_named_once(caplog):
    letter = "\U0010fffd"
    with caplog.at_level(logging.WARNING):
        assert font_file(f"cat {letter}") == font_file("")
        font_file(f"dog {letter}")
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"no font of this machine has {letter}" in message
    assert "install" in message
