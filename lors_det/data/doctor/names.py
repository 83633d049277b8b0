"""Class names that are probably another, written otherwise: typing errors, case, spaces, plurals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Literal

Likeness = Literal["class-typo", "class-spelling", "class-plural"]

RARE = 0.1
"""A typing error has at most this part of the boxes of the right name."""

_SHORTEST = 5  # cat and car differ by one letter
_SHORTEST_OF_TWO_EDITS = 8


def alike(counts: Mapping[str, int]) -> list[tuple[str, str, Likeness]]:
    """Pairs of names that are probably one class: the rarer, the commoner, and how they are alike.

    Args:
        counts: boxes of each name.

    ``class-spelling``: they differ in case, spaces, hyphens and underscores only. ``class-plural``: besides, in an s
    at the end. ``class-typo``: one edit apart (two from 8 letters on), with the same first letter, and one of them
    rare. An edit puts in, drops or replaces a letter, or swaps two neighbours. Names that differ in a number, or in a
    word of one letter, are not alike.
    """
    found: list[tuple[str, str, Likeness]] = []
    plain = {name: _plain(name) for name in counts}
    for pair in combinations(counts, 2):
        rare, common = sorted(pair, key=lambda name: counts[name])
        one, other = plain[rare], plain[common]
        is_rare = counts[rare] <= RARE * counts[common]
        if one == other:
            found.append((rare, common, "class-spelling"))
        elif _singular(one) == _singular(other):
            found.append((rare, common, "class-plural"))
        elif is_rare and one[:1] == other[:1] and _comparable(rare, common):
            shortest = min(len(one), len(other))
            allowed = 2 if shortest >= _SHORTEST_OF_TWO_EDITS else 1 if shortest >= _SHORTEST else 0
            if edits(one, other, allowed) <= allowed:
                found.append((rare, common, "class-typo"))
    return found


def edits(one: str, other: str, most: int) -> int:
    """Edits from one word to another (optimal string alignment), or some number above ``most``."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    above: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, above, row = above, row, [i]
        for j, target in enumerate(other, start=1):
            cost = min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != target))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == target:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name.casefold())


def _singular(name: str) -> str:
    return name[:-1] if len(name) > 3 and name.endswith("s") and not name.endswith("ss") else name


def _comparable(one: str, other: str) -> bool:
    """Not "player 1" and "player 2", nor "type a" and "type b"."""

    def marks(name: str) -> list[str]:
        return re.findall(r"\d+", name) + [word for word in re.split(r"[\W_]+", name.casefold()) if len(word) == 1]

    return marks(one) == marks(other)
