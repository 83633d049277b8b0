"""Ids of COCO files: whole numbers, however they were written, and text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

Id = int | str


def as_id(value: Any) -> Id | None:
    """An id as it is meant: ``3.0``, as tables in which a value is missing are written, is 3; None for what is none."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def same(value: Any, other: Id) -> bool:
    """Whether an id is written so; 3.0 is not 3, nor is True 1."""
    return type(value) is type(other) and bool(value == other)


class Known:
    """The ids that a section lists, found again where others write ``"7"`` for 7.

    Texts decide only where no two listed ids have the same.
    """

    def __init__(self, listed: Iterable[Id]) -> None:
        self._ids = set(listed)
        by_text = {str(each).strip(): each for each in self._ids}
        self._by_text: Mapping[str, Id] = by_text if len(by_text) == len(self._ids) else {}

    def of(self, value: Any) -> Id | None:
        """The listed id that is meant; None where there is none."""
        found = as_id(value)
        if found is None or found in self._ids:
            return found
        return self._by_text.get(str(found).strip())


def numbered(ids: Iterable[Id]) -> dict[Id, int] | None:
    """Numbers from 1 for ids that are partly text and partly numbers, which an evaluation would all take for text.

    None where they are of one kind.
    """
    distinct = list(dict.fromkeys(ids))
    if len(set(map(type, distinct))) < 2:
        return None
    return {each: number for number, each in enumerate(distinct, start=1)}


def ascend(ids: Iterable[Id]) -> bool:
    """Whether ids are numbers, each above the one before: else an evaluation, which sorts them, orders them anew."""
    listed = list(ids)
    numbers = [each for each in listed if isinstance(each, int)]
    return len(numbers) == len(listed) and all(one < other for one, other in pairwise(numbers))
