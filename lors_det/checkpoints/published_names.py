"""Published checkpoints of AdaMixer and LORS-AdaMixer (mmdet 2.x) to this project's names, and back.

Both directions only rename, reshape and reorder rows, so every number survives bit for bit. The kinds of
difference are three:

- renames, listed in the tables below, with ``{}`` for the stage or the pyramid level;
- one published generator makes M and S: its rows are, group by group, M_g then S_g (for the private cores, all
  M then all S); here each kernel has a generator of its own;
- published factors stack groups and residuals as (G K, ...); here they are (G, K, ...).

A long file on purpose: the tables and both directions are read against each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from lors_det.checkpoints.published_decoder import check_decoder

Model = Literal["adamixer", "lors"]

UNUSED = "rpn_head.init_proposal_bboxes.weight"
"""A (Q, 4) table that published checkpoints carry and no model reads."""

_DECODER = "bbox_head.decoder."
_STAGES = _DECODER + "stack.stages.{}."
_RESIDUALS = _DECODER + "stack.residuals.{}."
_STAGE = "roi_head.bbox_head.{}."
_LORS = "roi_head.adaptive_mixing."
_MIXING = _STAGE + "sampling_n_mixing.adaptive_mixing."

_COMMON = {  # published name: ours
    "rpn_head.init_content_features.weight": "bbox_head.queries.content",
    "neck.lateral_convs.{}.conv": "neck.laterals.{}",
    "neck.gn_out": "neck.norm",
    _STAGE + "iof_tau": _STAGES + "attention.tau",
    _STAGE + "attention.attn.in_proj_weight": _STAGES + "attention.qkv.weight",
    _STAGE + "attention.attn.in_proj_bias": _STAGES + "attention.qkv.bias",
    _STAGE + "attention.attn.out_proj": _STAGES + "attention.out",
    _STAGE + "attention_norm": _STAGES + "attention.norm",
    _STAGE + "ffn.layers.0.0": _STAGES + "ffn.layers.0",
    _STAGE + "ffn.layers.1": _STAGES + "ffn.layers.2",
    _STAGE + "ffn_norm": _STAGES + "ffn.norm",
    _STAGE + "cls_fcs.0": _STAGES + "classify.0",
    _STAGE + "cls_fcs.1": _STAGES + "classify.1",
    _STAGE + "fc_cls": _STAGES + "classify.3",
    _STAGE + "reg_fcs.0": _STAGES + "regress.0",
    _STAGE + "reg_fcs.1": _STAGES + "regress.1",
    _STAGE + "fc_reg": _STAGES + "regress.3",
}
_OWN: dict[Model, dict[str, str]] = {
    "adamixer": {  # every stage owns its mixing
        _STAGE + "sampling_n_mixing.sampling_offset_generator.0": _STAGES + "sampling.offsets",
        _STAGE + "sampling_n_mixing.norm": _STAGES + "mixing.norm",
        _MIXING + "out_proj": _STAGES + "mixing.out",
    },
    "lors": {  # one module holds the shared weights and every stage's residuals
        _STAGE + "sampling.sampling_offset_generator.0": _STAGES + "sampling.offsets",
        _LORS + "base_out_proj": _DECODER + "stack.bases.0.mixing.out",
        _LORS + "out_weight_add_A.{}": _RESIDUALS + "mixing.out.weight.down",
        _LORS + "out_weight_add_B.{}": _RESIDUALS + "mixing.out.weight.up",
        _LORS + "out_weight_bias.{}": _STAGES + "mixing.out.bias",
        _LORS + "out_norm.{}": _STAGES + "mixing.norm",
    },
}
_GENERATOR: dict[Model, str] = {
    "adamixer": _MIXING + "parameter_generator.0",
    "lors": _LORS + "common_parameter_generator",
}
_OWNER: dict[Model, str] = {"adamixer": _STAGES, "lors": _DECODER + "stack.bases.0."}
"""Who owns the generators."""

_CORE = _LORS + "private_parameter_generator.{}"
_FACTORS = {
    _LORS + "ml_parameters.{}": _RESIDUALS + "mixing.channel.left",
    _LORS + "mr_parameters.{}": _RESIDUALS + "mixing.channel.right",
    _LORS + "sl_parameters.{}": _RESIDUALS + "mixing.spatial.left",
    _LORS + "sr_parameters.{}": _RESIDUALS + "mixing.spatial.right",
}


def published_model(published: Mapping[str, Tensor]) -> Model:
    """Which published detector a state dict is of, recognised by its keys.

    Raises:
        ValueError: if it is of neither.
    """
    for model, generator in _GENERATOR.items():
        if generator.format(0) + ".bias" in published:
            return model
    raise ValueError(
        "this is not a published AdaMixer or LORS-AdaMixer checkpoint: it lacks "
        + " as well as ".join(f"{generator.format(0)}.bias" for generator in _GENERATOR.values())
    )


def from_published(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """This project's state dict of a published one.

    Args:
        published: a whole model's state dict, or its ``roi_head.*`` part.

    Returns:
        Names as in ``SingleStageDetector``: ``backbone.*``, ``neck.*``, ``bbox_head.*``.

    Raises:
        ValueError: if a key is missing or not one of a published AdaMixer or LORS-AdaMixer, or if the shapes of the
            decoder's weights contradict each other; it names the first ones.
    """
    model = published_model(published)
    renames = {**_COMMON, **_OWN[model]}
    channel_rows, num_groups = _published_shape(published, model)
    converted, unknown = {}, []
    for name, tensor in published.items():
        if name == UNUSED:
            continue
        if name.startswith("backbone."):
            converted[name] = tensor
        elif found := _match(name, _GENERATOR[model]):
            owner, leaf = found
            by_group = _grouped(name, tensor, num_groups)
            channel, spatial = by_group.tensor_split([channel_rows], dim=1)
            mixing = _OWNER[model].format(owner) + "mixing."
            converted[f"{mixing}channel{leaf}"] = channel.flatten(0, 1)
            converted[f"{mixing}spatial{leaf}"] = spatial.flatten(0, 1)
        elif model == "lors" and (found := _match(name, _CORE)):
            stage, leaf = found
            channel, spatial = _grouped(name, tensor, 2)  # of M and of S
            mixing = _RESIDUALS.format(stage) + "mixing."
            converted[f"{mixing}channel.core{leaf}"] = channel
            converted[f"{mixing}spatial.core{leaf}"] = spatial
        elif model == "lors" and (renamed := _rename(name, _FACTORS)):
            converted[renamed] = _grouped(name, tensor, num_groups)
        elif renamed := _rename(name, renames):
            converted[renamed] = tensor
        else:
            unknown.append(name)
    _refuse(unknown, "a published AdaMixer or LORS-AdaMixer checkpoint")
    _check(converted, model, "the weights of this checkpoint's decoder do not make a whole")
    return converted


def to_published(state: Mapping[str, Tensor], unused: Tensor | None = None) -> dict[str, Tensor]:
    """The published state dict of one of this project's: the inverse of :func:`from_published`.

    Args:
        state: a whole model's state dict, or its ``bbox_head.decoder.*`` part.
        unused: the published table that no model reads, (Q, 4); zeros where it is not at hand.

    Raises:
        ValueError: if a key has no published counterpart, as in models that share otherwise; it names the first ones.
    """
    if not any(name.startswith(_DECODER) for name in state):
        raise ValueError(f"this is not a checkpoint of this project: no weight of it begins with {_DECODER}")
    model: Model = "lors" if any(name.startswith(f"{_DECODER}stack.residuals.") for name in state) else "adamixer"
    _check(state, model, "this model has no published counterpart")
    num_groups = _num_groups(state, model)
    renames = {ours: name for name, ours in {**_COMMON, **_OWN[model]}.items()}
    factors = {ours: name for name, ours in _FACTORS.items()} if model == "lors" else {}
    converted, unknown = {}, []
    for name, tensor in state.items():
        if name.startswith("backbone."):
            converted[name] = tensor
        elif found := _match(name, _OWNER[model] + "mixing.channel"):
            owner, leaf = found
            spatial = state[f"{_OWNER[model].format(owner)}mixing.spatial{leaf}"]
            parts = [part.unflatten(0, (num_groups, -1)) for part in (tensor, spatial)]
            converted[_GENERATOR[model].format(owner) + leaf] = torch.cat(parts, dim=1).flatten(0, 1)
        elif model == "lors" and (found := _match(name, _RESIDUALS + "mixing.channel.core")):
            stage, leaf = found
            spatial = state[f"{_RESIDUALS.format(stage)}mixing.spatial.core{leaf}"]
            converted[_CORE.format(stage) + leaf] = torch.cat([tensor, spatial])
        elif renamed := _rename(name, factors):
            converted[renamed] = tensor.flatten(0, 1)
        elif renamed := _rename(name, renames):
            converted[renamed] = tensor
        elif ".mixing.spatial." not in name:  # written with its channel counterpart
            unknown.append(name)
    _refuse(unknown, "a model with a published counterpart")
    content = "rpn_head.init_content_features.weight"
    if content in converted:
        converted[UNUSED] = converted[content].new_zeros(len(converted[content]), 4) if unused is None else unused
    return converted


def _check(state: Mapping[str, Tensor], model: Model, complaint: str) -> None:
    decoder = {name.removeprefix(_DECODER): tensor for name, tensor in state.items() if name.startswith(_DECODER)}
    try:
        check_decoder(decoder, lors=model == "lors")
    except ValueError as error:
        raise ValueError(f"{complaint}: {error}") from error


def _match(name: str, pattern: str) -> tuple[str, str] | None:
    """(number, ".weight" | ".bias" | "") where the name is the pattern with a number for ``{}``, else None."""
    regex = re.escape(pattern).replace(r"\{\}", r"(\d+)")
    found = re.fullmatch(rf"{regex}(\.weight|\.bias)?", name)
    if found is None:
        return None
    *number, leaf = found.groups()
    return (number[0] if number else ""), leaf or ""


def _rename(name: str, renames: Mapping[str, str]) -> str | None:
    for old, new in renames.items():
        if found := _match(name, old):
            number, leaf = found
            return new.format(number) + leaf
    return None


def _published_shape(published: Mapping[str, Tensor], model: Model) -> tuple[int, int]:
    """(C C, G) from shapes alone: the generator has D^2 / G + (G P) O rows, and G P and O are known."""
    sampling = "sampling_n_mixing" if model == "adamixer" else "sampling"
    names = (
        _GENERATOR[model].format(0) + ".bias",
        (_MIXING + "out_proj.weight" if model == "adamixer" else _LORS + "base_out_proj.weight").format(0),
        _STAGE.format(0) + f"{sampling}.sampling_offset_generator.0.bias",
        _STAGE.format(0) + "attention_norm.weight",
    )
    missing = [name for name in names if name not in published]
    if missing:
        raise ValueError(f"the checkpoint lacks {', '.join(missing)}; is it truncated?")
    single = [name for name in names if not published[name].ndim]
    if single:
        raise ValueError(f"{single[0]} has the shape (), a single number")
    rows, out_dims, offset_dims, dim = (published[name].shape[-1] for name in names)
    channel_rows = rows - offset_dims // 3 * (out_dims // dim)
    if channel_rows < 1 or dim * dim % channel_rows:
        raise ValueError(f"the shapes of {', '.join(names)} contradict each other")
    num_groups = dim * dim // channel_rows
    return (dim // num_groups) ** 2, num_groups


def _num_groups(state: Mapping[str, Tensor], model: Model) -> int:
    """G: the channel generator has D^2 / G rows."""
    rows, dim = state[f"{_OWNER[model].format(0)}mixing.channel.weight"].shape
    return dim * dim // rows


def _grouped(name: str, tensor: Tensor, num_groups: int) -> Tensor:
    """(G, rows / G, ...), of rows that lie group after group."""
    if not tensor.ndim or len(tensor) % num_groups:
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, whose rows are not of {num_groups} groups")
    return tensor.unflatten(0, (num_groups, -1))


def _refuse(unknown: list[str], what: str) -> None:
    if unknown:
        first = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        raise ValueError(f"{len(unknown)} keys are not those of {what}: {first}")
