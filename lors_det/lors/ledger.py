"""Parameter ledger: which stage uses which parameter of a stack that shares weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lors_det.lors.stack import SharedStack


@dataclass(frozen=True)
class LedgerEntry:
    """One parameter of a stack.

    Attributes:
        name: its name in the stack's state dict.
        component: the part of a stage that it belongs to, e.g. "mixing".
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


def ledger(stack: SharedStack, prefix: str = "") -> list[LedgerEntry]:
    """List every parameter of a stack once, with its users; bases first.

    Args:
        stack: the stack.
        prefix: of the names, such as the stack's own in a larger state dict.
    """
    entries = []
    for name, parameter in sorted(stack.named_parameters(), key=lambda item: not item[0].startswith("bases.")):
        kind, number, rest = name.split(".", 2)
        users: tuple[int, ...] = (int(number),)
        if kind == "bases":
            users = tuple(stage for stage, used in enumerate(stack.share) if used == int(number))
        entries.append(LedgerEntry(prefix + name, rest.split(".")[0], users, parameter.numel()))
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
