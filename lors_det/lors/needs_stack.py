"""A module of a stage is not called without what it shares: nothing would tell that a bias or a gain is missing."""

from __future__ import annotations

from typing import Any

from torch import nn


class NeedsStack:
    """What a module begins its call with, once a stack has taken parameters of it.

    Args:
        name: of the first parameter, with dots where it is a child's.
    """

    def __init__(self, name: str) -> None:
        self.names = [name]

    def missing(self, module: nn.Module) -> list[str]:
        """Those of the names where nothing stands."""
        found = []
        for name in self.names:
            *path, last = name.split(".")
            place: Any = module
            for part in path:  # get_submodule takes five times as long, and this is asked in every call
                place = place._modules[part]
            if place._parameters.get(last) is None:
                found.append(name)
        return found

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Refuse the call outside of the stack's.

        Raises:
            RuntimeError: if a parameter is not there; it names how it comes there.
        """
        missing = self.missing(module)
        if missing:
            raise RuntimeError(
                f"{type(module).__name__} was called without {', '.join(missing)}, which its stack owns and puts in "
                "while it calls the whole stage; call that: stack[i](...). (Where a part of a stage recomputes its "
                "activations by itself, turn that off, and set stack.recompute = True)"
            )


def need(module: nn.Module, name: str) -> None:
    """Have a module refuse calls without a parameter that was taken out of it."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, NeedsStack):
            hook.names.append(name)
            return
    module.register_forward_pre_hook(NeedsStack(name))


def need_no_more(stage: nn.Module) -> None:
    """What was put back for good needs no stack: drop the hooks of :func:`need` of which nothing is missing."""
    for module in stage.modules():
        for key, hook in list(module._forward_pre_hooks.items()):
            if isinstance(hook, NeedsStack):
                hook.names = hook.missing(module)
                if not hook.names:
                    del module._forward_pre_hooks[key]
