"""``activation_checkpointing`` of a config: modules whose activations the backward pass computes again."""

from __future__ import annotations

from functools import partial
from typing import Any

from mmengine.runner import runner
from torch import nn

from lors_det.errors import InputError
from lors_det.lors import SharedStack
from lors_det.lors.recompute import recomputed
from lors_det.plugin.named_modules import named_modules
from lors_det.plugin.unwrapped import unwrapped

KEY = "config key activation_checkpointing"


def register() -> None:
    """Let mmengine's runner take the function below for its own."""
    runner.turn_on_activation_checkpointing = turn_on_activation_checkpointing


def turn_on_activation_checkpointing(model: nn.Module, modules: str | list[str]) -> None:
    """Let modules keep no activations for the backward pass, in place of mmengine's function of this name.

    That one recomputes in torch's re-entrant way, in which a module whose arguments need no gradient, such as a
    backbone that is given images, gets none itself; and it passes no arguments by name. Of a stack of stages each is
    recomputed by itself: ``bbox_head.decoder.stack`` saves the most. Running statistics of norms learn of a batch once,
    see :func:`lors_det.lors.recompute.recomputed`.

    Args:
        model: the detector.
        modules: names in it.

    Raises:
        InputError: if there is no such module, it is never called as a whole, or it is inside of a stage that computes
            with weights that are not its own; it names one that can be named instead.
    """
    for name in check_activation_checkpointing(modules, model):
        module = unwrapped(model).get_submodule(name)
        if isinstance(module, SharedStack):
            module.recompute = True
        else:
            module.forward = partial(recomputed, module, module.forward)  # both of which a deep copy binds to itself


def check_activation_checkpointing(modules: str | list[str] | None, model: Any) -> list[str]:
    """The names, if each can be recomputed, see :func:`turn_on_activation_checkpointing`."""
    names = named_modules(modules, model, "activation_checkpointing")
    known = dict(unwrapped(model).named_modules())
    stacks = [name for name, module in known.items() if isinstance(module, SharedStack)]
    for name in names:
        stack = next((stack for stack in stacks if f"{name}.".startswith(f"{stack}.")), None)
        if stack is not None and name != stack and (known[stack].names or not name.startswith(f"{stack}.stages.")):
            raise InputError(
                f"{KEY} names {name}, which has shared weights only while its stack computes; name the whole, {stack}"
            )
        if not _is_called(known[name]):
            inside = next((other for other in known if other.startswith(f"{name}.") and _is_called(known[other])), None)
            remedy = f"; name a part of it, such as {stacks[0] if name == 'bbox_head' and stacks else inside}"
            raise InputError(f"{KEY} names {name}, which is never called as a whole{remedy if inside else ''}")
    return list(names)


def _is_called(module: nn.Module) -> bool:
    """Whether a detector calls it: not a list of others, nor this project's head, whose ``loss`` is called."""
    from lors_det.plugin.head import AdaMixerHead  # which imports mmdet, as this module may not while it is patched in

    return type(module).forward is not nn.Module.forward and not isinstance(module, AdaMixerHead)
