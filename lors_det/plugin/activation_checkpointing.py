"""Where mmengine may compute activations again: nowhere inside of stages whose weights are put in."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config
from mmengine.model import is_model_wrapper

from lors_det.errors import InputError
from lors_det.lors import SharedStack


def check_activation_checkpointing(cfg: Config, model: Any) -> None:
    """Refuse it inside of stages that compute with weights that are not their own.

    What is computed again in the backward pass is the stage's module, without the weights that its stack puts in.

    Raises:
        InputError: it names the module, and one that can be named instead.
    """
    names = cfg.get("activation_checkpointing") or ()
    while is_model_wrapper(model):
        model = model.module
    stacks = [name for name, module in model.named_modules() if isinstance(module, SharedStack) and module.names]
    for name in [names] if isinstance(names, str) else names:
        for stack in stacks:
            if f"{name}.".startswith(f"{stack}.stages."):
                raise InputError(
                    f"config key activation_checkpointing names {name}, which has shared weights only while its stack "
                    f"computes; name the whole, {stack.rpartition('.')[0] or stack}"
                )
