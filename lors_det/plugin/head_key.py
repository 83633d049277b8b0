"""Which key of a config a wrong value of the head stands at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lors_det.errors import InputError


@contextmanager
def head_key(name: str) -> Iterator[None]:
    """Say of what is refused inside, by its maker, that it stands at ``model.bbox_head.<name>``.

    Raises:
        InputError: for a value out of range, or an argument that the maker does not take or misses.
    """
    try:
        yield
    except InputError:  # which names its key already
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"config key model.bbox_head.{name}: {error}") from error
