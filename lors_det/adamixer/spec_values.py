"""Values of a decoder's spec by themselves: of the right kind, in range, one for each stage."""

from __future__ import annotations

from collections.abc import Sequence


def is_int(value: object) -> bool:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_sequence(name: str, value: object) -> None:
    """Refuse one number where there must be several."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{name}={value!r}; it must be a list or tuple")


def checked_strides(strides: Sequence[int]) -> tuple[int, ...]:
    """s_l of the feature levels, finest first."""
    check_sequence("strides", strides)
    strides = tuple(strides)
    if not strides or not all(is_int(each) and each >= 1 for each in strides) or strides != tuple(sorted({*strides})):
        raise ValueError(f"strides={strides}; they must be positive integers, one for each level, the finest first")
    return strides


def checked_rank(name: str, rank: int | Sequence[int], num_stages: int) -> int | tuple[int, ...]:
    """R, or that of each stage: all positive."""
    if not isinstance(rank, Sequence) or isinstance(rank, str):
        if not is_int(rank) or rank < 0:
            raise ValueError(f"{name}={rank!r}; it must be 0, for no residual, or positive")
        return rank
    ranks = tuple(rank)
    if len(ranks) != num_stages or not all(is_int(each) and each >= 1 for each in ranks):
        raise ValueError(f"{name}={ranks}; it must be a number, or a positive one for each of the {num_stages} stages")
    return ranks


def checked_groups(
    kind: str, rank: int | Sequence[int], groups: Sequence[int] | None, num_stages: int
) -> tuple[int, ...] | None:
    """K of each stage's residuals of a kind, "adaptive" or "static"; None where there is no residual."""
    if groups is not None:
        check_sequence(f"{kind}_groups", groups)
    if rank == 0:
        if groups:
            raise ValueError(f"{kind}_groups={tuple(groups)} has no effect with {kind}_rank=0; set the rank or drop it")
        return None
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
    if not all(is_int(number) and number >= 1 for number in groups):
        raise ValueError(f"{kind}_groups={groups}; each K must be at least 1")
    return groups
