"""Findings about one COCO file; what can be said of most of its entries is counted and said once."""

from __future__ import annotations

from collections import Counter

from lors_det.data.record import Finding
from lors_det.data.words import counted


class Notes:
    """Findings about ``where``, which are added to a list; ``counts`` are told in the end."""

    def __init__(self, where: str, findings: list[Finding]) -> None:
        self.where, self.findings = where, findings
        self.counts: Counter[str] = Counter()

    def warn(self, kind: str, what: str, remedy: str = "", *, error: bool = False) -> None:
        """Add a warning, or an error."""
        self.findings.append(Finding(kind, "error" if error else "warning", self.where, what, remedy))

    def tell(self) -> None:
        """Add a note for each thing counted."""
        for what, count in self.counts.items():
            self.findings.append(Finding("filled-in", "note", self.where, f"{what} for {counted(count, 'entry')}"))
