"""Published checkpoints of AdaMixer and LORS-AdaMixer (mmdet 2.x) to this project's names.

Tensors are only renamed, reshaped and split by rows, so every number survives bit for bit. The kinds of
difference are three:

- renames, listed in ``_RENAMES``, with ``{i}`` for the stage and ``{l}`` for the pyramid level;
- one published generator makes M and S: its rows are, group by group, M_g then S_g (for the private cores, all
  M then all S); here each kernel has a generator of its own;
- published factors stack groups and residuals as (G K, ...); here they are (G, K, ...).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_UNUSED = "rpn_head.init_proposal_bboxes.weight"
"""A table that published checkpoints carry and no model reads."""

_RENAMES = {
    "rpn_head.init_content_features.weight": "bbox_head.queries.content",
    "neck.lateral_convs.{l}.conv": "neck.laterals.{l}",
    "neck.gn_out": "neck.norm",
    "roi_head.bbox_head.{i}.iof_tau": "stages.{i}.attention.tau",
    "roi_head.bbox_head.{i}.attention.attn.in_proj_weight": "stages.{i}.attention.qkv.weight",
    "roi_head.bbox_head.{i}.attention.attn.in_proj_bias": "stages.{i}.attention.qkv.bias",
    "roi_head.bbox_head.{i}.attention.attn.out_proj": "stages.{i}.attention.out",
    "roi_head.bbox_head.{i}.attention_norm": "stages.{i}.attention.norm",
    "roi_head.bbox_head.{i}.ffn.layers.0.0": "stages.{i}.ffn.layers.0",
    "roi_head.bbox_head.{i}.ffn.layers.1": "stages.{i}.ffn.layers.2",
    "roi_head.bbox_head.{i}.ffn_norm": "stages.{i}.ffn.norm",
    "roi_head.bbox_head.{i}.cls_fcs.0": "stages.{i}.classify.0",
    "roi_head.bbox_head.{i}.cls_fcs.1": "stages.{i}.classify.1",
    "roi_head.bbox_head.{i}.fc_cls": "stages.{i}.classify.3",
    "roi_head.bbox_head.{i}.reg_fcs.0": "stages.{i}.regress.0",
    "roi_head.bbox_head.{i}.reg_fcs.1": "stages.{i}.regress.1",
    "roi_head.bbox_head.{i}.fc_reg": "stages.{i}.regress.3",
    # AdaMixer: every stage owns its mixing
    "roi_head.bbox_head.{i}.sampling_n_mixing.sampling_offset_generator.0": "stages.{i}.sampling.offsets",
    "roi_head.bbox_head.{i}.sampling_n_mixing.norm": "stages.{i}.mixing.norm",
    "roi_head.bbox_head.{i}.sampling_n_mixing.adaptive_mixing.out_proj": "bases.{i}.out",
    # LORS: one module holds the shared weights and every stage's residuals
    "roi_head.bbox_head.{i}.sampling.sampling_offset_generator.0": "stages.{i}.sampling.offsets",
    "roi_head.adaptive_mixing.base_out_proj": "bases.0.out",
    "roi_head.adaptive_mixing.out_weight_add_A.{i}": "stages.{i}.mixing.out.down",
    "roi_head.adaptive_mixing.out_weight_add_B.{i}": "stages.{i}.mixing.out.up",
    "roi_head.adaptive_mixing.out_weight_bias.{i}": "stages.{i}.mixing.out.bias",
    "roi_head.adaptive_mixing.out_norm.{i}": "stages.{i}.mixing.norm",
}

_FACTORS = {"ml": "channel.left", "mr": "channel.right", "sl": "spatial.left", "sr": "spatial.right"}
_DECODER = "bbox_head.decoder."


def from_published(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """This project's state dict of a published one.

    Args:
        published: a whole model's state dict, or its ``roi_head.*`` part.

    Returns:
        Names as in ``SingleStageDetector``: ``backbone.*``, ``neck.*``, ``bbox_head.*``.

    Raises:
        ValueError: if a key is not one of a published AdaMixer or LORS-AdaMixer; it names the first ones.
    """
    num_groups = _published_num_groups(published)
    converted, unknown = {}, []
    for name, tensor in published.items():
        if name == _UNUSED:
            continue
        if name.startswith("backbone."):
            converted[name] = tensor
        elif renamed := _rename(name):
            converted[renamed] = tensor
        elif found := re.fullmatch(r"roi_head\.adaptive_mixing\.(ml|mr|sl|sr)_parameters\.(\d+)", name):
            kind, stage = found.groups()
            converted[f"{_DECODER}stages.{stage}.mixing.{_FACTORS[kind]}"] = tensor.unflatten(0, (num_groups, -1))
        elif found := re.fullmatch(
            r"roi_head\.adaptive_mixing\.private_parameter_generator\.(\d+)\.(weight|bias)", name
        ):
            stage, leaf = found.groups()
            channel, spatial = tensor.chunk(2)
            converted[f"{_DECODER}stages.{stage}.mixing.channel.core.{leaf}"] = channel
            converted[f"{_DECODER}stages.{stage}.mixing.spatial.core.{leaf}"] = spatial
        elif found := re.fullmatch(
            r"roi_head\.(?:adaptive_mixing\.common_parameter_generator|"
            r"bbox_head\.(\d+)\.sampling_n_mixing\.adaptive_mixing\.parameter_generator\.0)\.(weight|bias)",
            name,
        ):
            base, leaf = found.group(1) or "0", found.group(2)
            channel, spatial = _split_by_group(tensor, num_groups, _query_dim(published))
            converted[f"{_DECODER}bases.{base}.channel.{leaf}"] = channel
            converted[f"{_DECODER}bases.{base}.spatial.{leaf}"] = spatial
        else:
            unknown.append(name)
    if unknown:
        raise ValueError(
            f"{len(unknown)} keys are not those of a published AdaMixer or LORS-AdaMixer checkpoint: "
            + ", ".join(unknown[:5])
            + (", ..." if len(unknown) > 5 else "")
        )
    return converted


def _rename(name: str) -> str | None:
    for published, ours in _RENAMES.items():
        pattern = re.escape(published).replace(r"\{i\}", r"(\d+)").replace(r"\{l\}", r"(\d+)")
        found = re.fullmatch(rf"{pattern}(\.weight|\.bias)?", name)
        if found:
            *number, leaf = found.groups()
            renamed = re.sub(r"\{[il]\}", number[0] if number else "", ours) + (leaf or "")
            return renamed if renamed.startswith(("neck.", "bbox_head.")) else _DECODER + renamed
    return None


def _query_dim(published: Mapping[str, Tensor]) -> int:
    return published["roi_head.bbox_head.0.attention_norm.weight"].shape[0]


def _published_num_groups(published: Mapping[str, Tensor]) -> int:
    """G from shapes alone: the generator has D^2 / G + (G P) O rows, with G P and O known."""
    stage = "roi_head.bbox_head.0."
    candidates = (  # generator, output projection, offsets
        (
            "roi_head.adaptive_mixing.common_parameter_generator.bias",
            "roi_head.adaptive_mixing.base_out_proj.weight",
            stage + "sampling.sampling_offset_generator.0.bias",
        ),
        (
            stage + "sampling_n_mixing.adaptive_mixing.parameter_generator.0.bias",
            stage + "sampling_n_mixing.adaptive_mixing.out_proj.weight",
            stage + "sampling_n_mixing.sampling_offset_generator.0.bias",
        ),
    )
    for names in candidates:
        if all(name in published for name in (*names, stage + "attention_norm.weight")):
            rows, out_dims, offsets = (published[name].shape[-1] for name in names)
            dim = _query_dim(published)
            return dim * dim // (rows - offsets // 3 * (out_dims // dim))
    raise ValueError(
        "this is not a published AdaMixer or LORS-AdaMixer checkpoint: it lacks "
        f"{candidates[0][0]} as well as {candidates[1][0]}"
    )


def _split_by_group(tensor: Tensor, num_groups: int, dim: int) -> tuple[Tensor, Tensor]:
    """Rows (G (C C + O P), ...) of a joint generator as (G C C, ...) and (G O P, ...)."""
    group_dim = dim // num_groups
    by_group = tensor.unflatten(0, (num_groups, -1))
    channel, spatial = by_group.tensor_split([group_dim * group_dim], dim=1)
    return torch.cat(list(channel)), torch.cat(list(spatial))
