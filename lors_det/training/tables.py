"""What a folder of data was recognised as, and what a training on it has reached, as tables."""

from __future__ import annotations

from collections import Counter

from rich.table import Table

from lors_det.data.folder import summary_rows
from lors_det.data.record import DataFolder, Finding

MAX_FINDINGS = 8
"""Findings of a kind of level that are listed one by one."""


def recognised(folder: DataFolder) -> Table:
    """Splits of a folder: images, those without boxes, boxes, and where they were read."""
    names = f"{len(folder.classes)} class{'es' * (len(folder.classes) > 1)}: {', '.join(folder.classes)}"
    table = Table(title=f"{folder.root}: {folder.form}, {names}", title_justify="left")
    for column, justify in (("split", "left"), ("images", "right"), ("without boxes", "right"), ("boxes", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    table.add_column("read from", overflow="fold")
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
