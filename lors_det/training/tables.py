"""What a folder of data was recognised as, in words and as a table."""

from __future__ import annotations

from collections import Counter

from rich.table import Table

from lors_det.data.folder import summary_rows
from lors_det.data.record import DataFolder, Finding

MAX_FINDINGS = 8
"""Findings of a kind that are listed one by one."""


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
