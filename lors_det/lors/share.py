"""Which base each stage of a stack uses."""

from __future__ import annotations

from collections.abc import Sequence


def checked_share(share: Sequence[int | None], num_stages: int) -> tuple[int | None, ...]:
    """The base of each stage, None for a stage without one.

    Raises:
        ValueError: if its length is another than the number of stages, or a base from 0 on has no user.
    """
    share = tuple(share)
    bases = {base for base in share if base is not None}
    whole = all(base is None or (isinstance(base, int) and not isinstance(base, bool)) for base in share)
    if not whole or not share or bases != set(range(len(bases))):
        raise ValueError(
            f"share={share}; it gives the base of each stage and must use every base from 0 on, "
            "for example (0, 0, 0, 0) to share one base among four stages, or None for a stage without a base"
        )
    if len(share) != num_stages:
        raise ValueError(f"share={share} gives bases for {len(share)} stages, and there are {num_stages}")
    return share
