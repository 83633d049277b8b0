"""A folder of data as it was recognised, in words and as a table."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from lors_det.data.folder import summary_rows
from lors_det.data.record import DataFolder
from lors_det.data.words import counted, listed

MAX_NAMES = 20
"""Classes that are named."""


def folder_title(folder: DataFolder) -> str:
    """The folder's form and classes."""
    names = listed(folder.classes[:MAX_NAMES]) + (", ..." if len(folder.classes) > MAX_NAMES else "")
    return f"{folder.root}: {folder.form}, {counted(len(folder.classes), 'class')}: {names}"


def folder_table(folder: DataFolder) -> Table:
    """Splits of a folder: images, those without boxes, boxes, and where they were read."""
    table = Table()
    for column in ("split", "images", "without boxes", "boxes", "read from"):
        table.add_column(column, justify="left" if column in ("split", "read from") else "right", overflow="fold")
    for name, images, without, boxes, source in summary_rows(folder):
        table.add_row(name, f"{images:,}", f"{without:,}", f"{boxes:,}", Text(source))
    return table
