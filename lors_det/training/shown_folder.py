"""A folder of data, read and shown as it was recognised."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lors_det.data.folder import read_folder, summary_rows
from lors_det.data.record import DataFolder, Finding
from lors_det.errors import InputError

MAX_FINDINGS = 8
"""Findings of a kind that are listed one by one."""


def read_shown(data: str | Path) -> DataFolder:
    """The folder, printed as it was recognised, with what the readers found.

    Raises:
        InputError: if it is in no known form, or has a fault with which training makes no sense.
    """
    folder = read_folder(Path(data))
    print(title(folder))
    Console(width=120).print(recognised(folder), highlight=False)
    for line in listed(folder.findings):
        print(line)
    errors = [finding for finding in folder.findings if finding.level == "error"]
    if errors:
        raise InputError(
            f"{data} has {len(errors)} fault{'s' * (len(errors) > 1)} that must be mended first: {errors[0]}; "
            f"lors-det check-data {data} lists all"
        )
    return folder


def title(folder: DataFolder) -> str:
    """The folder's form and classes."""
    number = f"{len(folder.classes)} class{'es' * (len(folder.classes) > 1)}"
    return f"{folder.root}: {folder.form}, {number}: {', '.join(folder.classes)}"


def recognised(folder: DataFolder) -> Table:
    """Splits of a folder: images, those without boxes, boxes, and where they were read."""
    table = Table()
    for column in ("split", "images", "without boxes", "boxes", "read from"):
        table.add_column(column, justify="left" if column in ("split", "read from") else "right", overflow="fold")
    for row in summary_rows(folder):
        table.add_row(*map(str, row))
    return table


def listed(findings: tuple[Finding, ...]) -> list[str]:
    """Findings as lines, the first few of each kind."""
    lines = []
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.kind] += 1
        if seen[finding.kind] <= MAX_FINDINGS:
            lines.append(f"{finding.level}: {finding}")
    lines += [f"{kind}: {count - MAX_FINDINGS} more" for kind, count in seen.items() if count > MAX_FINDINGS]
    return lines
