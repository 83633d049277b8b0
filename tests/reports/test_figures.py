"""Figures: names in them as they are written."""

from __future__ import annotations

import warnings

from matplotlib.figure import Figure
from matplotlib.image import imread

from lors_det.reports.figures import as_written, write_figure


def test_dollars_are_dollars(tmp_path):
    """Matplotlib reads what is between two of them as mathematics, and cannot draw what is none."""
    figure = Figure()
    axes = figure.subplots()
    axes.set_yticks([0, 1], ["US$ and A$", r"$\\no$"])
    axes.plot([0, 1], label="$_$")
    as_written([*axes.get_yticklabels(), *axes.legend().get_texts(), axes.set_title("$^$", fontsize=20)])
    write_figure(figure, tmp_path / "figure.png", dpi=50)
    assert imread(tmp_path / "figure.png").shape == (240, 320, 4)
    assert axes.title.get_fontsize() == 20


def test_letters_that_no_font_has_are_told_once_and_not_by_matplotlib(tmp_path, caplog):
    figure = Figure()
    as_written([figure.suptitle("\U0010fffc")])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_figure(figure, tmp_path / "figure.png", dpi=50)
    assert "\U0010fffc" in caplog.text
