"""Pretrained weights for a backbone: whole, or refused with names. mmengine's own loading only warns."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.model import PretrainedInit
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from lors_det.errors import InputError
from lors_det.state_diff import StateDiff, state_diff

STRIDES = (4, 8, 16, 32)
"""Of the four levels, pixels of the network's input: what the decoder samples."""

_KEY = "model.backbone.init_cfg"
_WRAPPERS = ("state_dict", "model")
"""Names under which training programs keep the weights in a checkpoint."""


def pretrained_state(init_cfg: Any) -> tuple[str, dict[str, Tensor]] | None:
    """The checkpoint that ``init_cfg`` names, and its weights by name; None where ``init_cfg`` is.

    Args:
        init_cfg: ``dict(type="Pretrained", checkpoint=...)``, where the type may be left out, with ``prefix`` where
            the backbone is a part of what the file holds, and ``map_location``.

    Raises:
        InputError: if it is of another type, or the file cannot be read or holds no weights (under that prefix).
    """
    if not init_cfg:
        return None
    if not isinstance(init_cfg, Mapping) or init_cfg.get("type", "Pretrained") not in ("Pretrained", PretrainedInit):
        raise InputError(
            f'config key {_KEY} is {init_cfg}; this backbone takes dict(type="Pretrained", checkpoint=...), or None to '
            "start from its library's random weights"
        )
    name = init_cfg.get("checkpoint")
    if not isinstance(name, str):
        raise InputError(f"config key {_KEY}.checkpoint is {name!r}; it must name a file, an address or a model")
    location = init_cfg.get("map_location", "cpu")
    if name.endswith(".safetensors"):
        return name, _below(_read_safetensors(name), init_cfg.get("prefix"), name)
    checkpoint = CheckpointLoader.load_checkpoint(name, location, logger="current")
    for wrapper in _WRAPPERS:
        if isinstance(checkpoint.get(wrapper), Mapping):
            checkpoint = checkpoint[wrapper]
    return name, _below(checkpoint, init_cfg.get("prefix"), name)


def load_whole(
    module: nn.Module, state: Mapping[str, Tensor], source: str, *, left_out: Collection[str] = frozenset()
) -> StateDiff:
    """Load weights into a module, every one of its own.

    Args:
        module: what gets them, in place.
        state: weights by the module's names.
        source: where they come from, for messages.
        left_out: names that the whole model has, such as its classifier's: where this module does not have them, they
            are no surprise.

    Returns:
        What differed: names that were there and belong to nothing, which the log also has.

    Raises:
        InputError: if a weight of the module is missing or has another shape. Nothing is loaded then.
    """
    # a count of batches, which files from before it was kept do not have, changes nothing
    expected = {name: value.shape for name, value in module.state_dict().items()}
    optional = {name for name in expected if name.endswith("num_batches_tracked") and name not in state}
    found = {name: value for name, value in state.items() if name in expected or name not in left_out}
    diff = state_diff(found, {name: shape for name, shape in expected.items() if name not in optional})
    if diff.missing or diff.misshapen:
        raise InputError(
            f"pretrained weights {source} ({_KEY}.checkpoint) are not those of this backbone: {diff.words}; name a "
            "file of the same architecture, or the part of the file that the backbone is with init_cfg.prefix"
        )
    module.load_state_dict({name: found[name] for name in expected if name in found}, strict=not optional)
    print_log(f"pretrained weights {source}: {diff.num_fitting} tensors loaded, none missing", logger="current")
    if diff.unexpected:
        print_log(f"of {source}, the backbone has no use for {diff.words}", logger="current", level=logging.WARNING)
    return diff


def _below(checkpoint: Mapping[str, Any], prefix: str | None, source: str) -> dict[str, Tensor]:
    """Tensors whose name begins with the prefix, by the rest of it."""
    start = "" if not prefix else prefix if prefix.endswith(".") else f"{prefix}."
    state = {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)}
    if not start and state and all(name.startswith("module.") for name in state):
        start = "module."  # of torch's wrappers for several processes
    below = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
    if not below:
        if not state:
            raise InputError(f"pretrained weights {source} ({_KEY}.checkpoint) hold no tensors by name")
        firsts = sorted({name.partition(".")[0] for name in state})[:5]
        raise InputError(
            f"pretrained weights {source}: nothing is under {_KEY}.prefix={prefix!r}; its names begin with "
            f"{', '.join(firsts)}"
        )
    return below


def _read_safetensors(name: str) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(f"reading {name} needs safetensors: pip install safetensors") from error
    try:
        return load_file(name)
    except (OSError, SafetensorError) as error:
        raise InputError(f"pretrained weights {name} ({_KEY}.checkpoint) cannot be read: {error}") from error
