"""Parameter ledger: which stage uses which parameter of a stack that shares weights."""

from __future__ import annotations

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
