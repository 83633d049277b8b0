"""Checkpoints of version 0.1.0: their weights under today's names, their optimiser's state in today's order."""

from __future__ import annotations

from typing import Any

from torch import nn

from lors_det.adamixer import Decoder
from lors_det.adamixer.first_version import current_name, is_first_version
from lors_det.errors import InputError


def bring_up_to_date(checkpoint: dict[str, Any], model: nn.Module) -> None:
    """Rename a checkpoint's weights, and reorder the state of its optimiser, where version 0.1.0 wrote it.

    Raises:
        InputError: if the optimiser's state cannot be told apart by parameter.
    """
    weights = checkpoint.get("state_dict", checkpoint)
    renamed = _rename(weights, model)
    _rename(checkpoint.get("ema_state_dict", {}), model)
    if renamed and "optimizer" in checkpoint:
        today = [name for name, _ in model.named_parameters()]
        known = set(today)
        _reorder(checkpoint, [name for name in weights if name in known], today)


def _rename(weights: dict[str, Any], model: nn.Module) -> bool:
    """Rename weights in their place and order; whether there were any to rename."""
    renames: dict[str, str] = {}
    decoders = {name: module for name, module in model.named_modules() if isinstance(module, Decoder)}
    for name, decoder in decoders.items():
        for prefix in (f"{name}.", f"module.{name}."):  # the latter of a wrapped model, or an average of the weights
            own = [weight for weight in weights if isinstance(weight, str) and weight.startswith(prefix)]
            if is_first_version(weight.removeprefix(prefix) for weight in own):
                renames |= {weight: prefix + current_name(weight.removeprefix(prefix), decoder.spec) for weight in own}
    for weight in list(weights) if renames else ():
        weights[renames.get(weight, weight)] = weights.pop(weight)
    return bool(renames)


def _reorder(checkpoint: dict[str, Any], before: list[str], today: list[str]) -> None:
    """Of parameters listed once, in a single group or one group each, as that version's optimisers had them."""
    optimizer = checkpoint["optimizer"]
    groups = optimizer["param_groups"]
    listed = [index for group in groups for index in group["params"]]
    if sorted(before) != sorted(today) or listed != list(range(len(today))) or len(groups) not in (1, len(today)):
        raise InputError(
            "the checkpoint was written by lors_det 0.1.0, and its optimiser's state does not tell which parameter it "
            "is of; start a new training from its weights: --cfg-options load_from=CHECKPOINT"
        )
    place = {name: index for index, name in enumerate(before)}
    order = [place[name] for name in today]  # of today's parameters, where they were
    state = optimizer["state"]
    optimizer["state"] = {new: state[old] for new, old in enumerate(order) if old in state}
    if len(groups) > 1:
        optimizer["param_groups"] = [{**groups[old], "params": [new]} for new, old in enumerate(order)]
