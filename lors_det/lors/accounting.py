"""Parameter ledger: which stage uses which parameter of a stack that shares weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class LedgerEntry:
    """One parameter of a stack.

    Attributes:
        name: its name in the stack's state dict.
        component: the part of the base or stage that it belongs to, e.g. "mixing".
        users: the stages whose outputs depend on it directly.
        numel: its number of elements.
    """

    name: str
    component: str
    users: tuple[int, ...]
    numel: int

    @property
    def shared(self) -> bool:
        """Whether more than one stage uses it."""
        return len(self.users) > 1


def ledger(
    bases: nn.ModuleList, stages: nn.ModuleList, share: Sequence[int | None], components: Mapping[str, str]
) -> list[LedgerEntry]:
    """List every parameter of a stack once, with its users.

    Args:
        bases: the weights that stages may share.
        stages: the stages, S of them, with their private parameters.
        share: base of each stage, S indices; None for a stage without one.
        components: component of each submodule of a base.

    Returns:
        One entry for each parameter, bases first.
    """
    entries = []
    for number, base in enumerate(bases):
        users = tuple(stage for stage, used in enumerate(share) if used == number)
        for name, parameter in base.named_parameters():
            component = components[name.split(".")[0]]
            entries.append(LedgerEntry(f"bases.{number}.{name}", component, users, parameter.numel()))
    for number, stage in enumerate(stages):
        for name, parameter in stage.named_parameters():
            component = name.split(".")[0]
            entries.append(LedgerEntry(f"stages.{number}.{name}", component, (number,), parameter.numel()))
    return entries


def summarise(entries: Sequence[LedgerEntry]) -> dict[str, int]:
    """Parameters as {"shared", "private_mixing", "per_stage", "total"}.

    "private_mixing" is all mixing that belongs to one stage, its normalisation included; "per_stage" is
    everything that is not mixing.
    """
    shared = sum(entry.numel for entry in entries if entry.shared)
    mixing = sum(entry.numel for entry in entries if entry.component == "mixing" and not entry.shared)
    total = sum(entry.numel for entry in entries)
    return {"shared": shared, "private_mixing": mixing, "per_stage": total - shared - mixing, "total": total}
