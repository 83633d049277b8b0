"""How a state dict differs from the one that is expected, in names and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class StateDiff(NamedTuple):
    """Names that differ.

    Attributes:
        missing: expected, and not there.
        unexpected: there, and not expected.
        misshapen: there in another shape, with both shapes in words.
        num_fitting: how many are there as expected.
    """

    missing: list[str]
    unexpected: list[str]
    misshapen: list[str]
    num_fitting: int

    @property
    def words(self) -> str:
        """The first names of each kind, and how many there are; empty where nothing differs."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.misshapen}
        return "; ".join(
            f"{len(names)} {kind}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            for kind, names in kinds.items()
            if names
        )


def state_diff(state: Mapping[str, Any], expected: Mapping[str, Sequence[int | None]]) -> StateDiff:
    """Compare names and shapes.

    Args:
        state: tensors by name.
        expected: shapes by name; None for a size that may be any.
    """
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {_in_words(shape)}"
        for name, shape in expected.items()
        if name in state and not _fits(state[name].shape, shape)
    ]
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    return StateDiff(missing, unexpected, misshapen, len(expected) - len(missing) - len(misshapen))


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(size in (None, have) for have, size in zip(shape, wanted))


def _in_words(shape: Sequence[int | None]) -> str:
    return str(tuple("any" if size is None else size for size in shape)).replace("'", "")
