"""Counts and lists of names in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, thing: str) -> str:
    """``1 box``, ``2 boxes``, ``1,200 categories``; ``thing`` in the singular, its last word a regular noun."""
    if number == 1:
        return f"1 {thing}"
    if thing.endswith("y"):
        return f"{number:,} {thing[:-1]}ies"
    return f"{number:,} {thing}{'es' if thing.endswith(('s', 'x')) else 's'}"


def have(number: int) -> str:
    """``has`` for one, else ``have``."""
    return "has" if number == 1 else "have"


def are(number: int) -> str:
    """``is`` for one, else ``are``."""
    return "is" if number == 1 else "are"


def listed(names: Iterable[str]) -> str:
    """``cat, dog``; a name that holds a comma, or begins or ends with a space, stands in quotes."""
    return ", ".join(repr(name) if "," in name or name != name.strip() else name for name in names)
