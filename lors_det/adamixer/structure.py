"""Checks of a decoder's structure: which base each stage uses, and how many residuals it has."""

from __future__ import annotations

from collections.abc import Sequence


def checked_share(share: Sequence[int | None]) -> tuple[int | None, ...]:
    """The base of each stage, None for a stage without one; every base from 0 on must have a user."""
    share = tuple(share)
    bases = {base for base in share if base is not None}
    if not all(isinstance(base, int) for base in bases) or not share or bases != set(range(len(bases))):
        raise ValueError(
            f"share={share}; it gives the base of each stage and must use every base from 0 on, "
            "for example (0, 0, 0, 0) to share one base among four stages, or None for a stage without a base"
        )
    return share


def checked_groups(kind: str, rank: int, groups: Sequence[int] | None, num_stages: int) -> tuple[int, ...]:
    """K of each stage's residuals of a kind, "adaptive" or "static"; all zeros where there is no residual."""
    if rank < 0:
        raise ValueError(f"{kind}_rank={rank}; it must be 0, for no residual, or positive")
    if rank == 0:
        if groups:
            raise ValueError(f"{kind}_groups={tuple(groups)} has no effect with {kind}_rank=0; set the rank or drop it")
        return (0,) * num_stages
    if groups is None:
        if kind == "adaptive":
            raise ValueError(f"adaptive_rank={rank} needs adaptive_groups, K of each of the {num_stages} stages")
        groups = (1,) * num_stages
    groups = tuple(groups)
    if len(groups) != num_stages:
        raise ValueError(
            f"{kind}_groups={groups} has {len(groups)} values for {num_stages} stages (the length of share); "
            "give one K for each stage"
        )
    if min(groups) < 1:
        raise ValueError(f"{kind}_groups={groups}; each K must be at least 1")
    return groups
