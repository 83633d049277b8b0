"""Parameter ledger: which stage uses which parameter of a stack that shares weights."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from lors_det.lors.stack import SharedStack


@dataclass(frozen=True)
class LedgerEntry:
    """One parameter of a stack.

    Attributes:
        name: its name in the stack's state dict.
        component: the part of a stage that it belongs to, e.g. "mixing".
        users: the stages whose outputs depend on it directly; of one that several stages hold, all of them.
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
    entries, holders = [], defaultdict[int, set[int]](set)
    for name, parameter in stack.named_parameters(remove_duplicate=False):
        holders[id(parameter)].add(int(name.split(".", 2)[1]))
    for name, parameter in sorted(stack.named_parameters(), key=lambda item: not item[0].startswith("bases.")):
        kind, number, rest = name.split(".", 2)
        users = tuple(sorted(holders[id(parameter)]))
        if kind == "bases":
            users = tuple(stage for stage, used in enumerate(stack.share) if used == int(number))
        entries.append(LedgerEntry(prefix + name, rest.split(".")[0], users, parameter.numel()))
    return entries
