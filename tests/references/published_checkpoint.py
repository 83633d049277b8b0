"""Keys, shapes and random values of a whole published checkpoint, ResNet-50 and decoder, stated by hand."""

from __future__ import annotations

import torch
from references.published import BATCH_NORM, BLOCKS, WIDTHS, Shape
from torch import Tensor


def shapes_of(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the decoder, ``roi_head.*``."""
    dim, groups, points, rank = shape.dim, shape.num_groups, shape.num_points, shape.rank
    channels, mixed = dim // groups, dim * shape.num_out_points
    rows = groups * (channels**2 + points * shape.num_out_points)
    lors, parts, norms = "roi_head.adaptive_mixing.", {}, []
    linears = {lors + "common_parameter_generator": (rows, dim)} if shape.adaptive_groups else {}
    for i in range(shape.num_stages):
        stage = f"roi_head.bbox_head.{i}."
        sampling = stage + ("sampling." if shape.adaptive_groups else "sampling_n_mixing.")
        parts[stage + "iof_tau"] = (shape.num_heads,)
        parts[stage + "attention.attn.in_proj_weight"] = (3 * dim, dim)
        parts[stage + "attention.attn.in_proj_bias"] = (3 * dim,)
        linears |= {
            stage + "attention.attn.out_proj": (dim, dim),
            sampling + "sampling_offset_generator.0": (groups * points * 3, dim),
            stage + "ffn.layers.0.0": (shape.ffn_dim, dim),
            stage + "ffn.layers.1": (dim, shape.ffn_dim),
            stage + "cls_fcs.0": (dim, dim),
            stage + "reg_fcs.0": (dim, dim),
            stage + "fc_cls": (shape.num_classes, dim),
            stage + "fc_reg": (4, dim),
        }
        norms += [stage + name for name in ("attention_norm", "ffn_norm", "cls_fcs.1", "reg_fcs.1")]
        if not shape.adaptive_groups:
            linears[sampling + "adaptive_mixing.parameter_generator.0"] = (rows, dim)
            linears[sampling + "adaptive_mixing.out_proj"] = (dim, mixed)
            norms.append(sampling + "norm")
    for i, num_residuals in enumerate(shape.adaptive_groups):
        stacked = groups * num_residuals
        linears[f"{lors}private_parameter_generator.{i}"] = (2 * stacked * rank**2, dim)
        norms.append(f"{lors}out_norm.{i}")
        parts |= {
            lors + "base_out_proj.weight": (dim, mixed),
            f"{lors}ml_parameters.{i}": (stacked, channels, rank),
            f"{lors}mr_parameters.{i}": (stacked, rank, channels),
            f"{lors}sl_parameters.{i}": (stacked, shape.num_out_points, rank),
            f"{lors}sr_parameters.{i}": (stacked, rank, points),
            f"{lors}out_weight_add_A.{i}": (shape.static_rank, mixed),
            f"{lors}out_weight_add_B.{i}": (dim, shape.static_rank),
            f"{lors}out_weight_bias.{i}": (dim,),
        }
    for name in norms:
        parts |= {name + ".weight": (dim,), name + ".bias": (dim,)}
    for name, sides in linears.items():
        parts |= {name + ".weight": sides, name + ".bias": sides[:1]}
    return parts


def backbone_shapes() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of ResNet-50 without its classifier."""
    convs, entering = {("conv1", "bn1"): (64, 3, 7, 7)}, 64
    for layer, (num_blocks, out) in enumerate(zip(BLOCKS, WIDTHS), start=1):
        for block in range(num_blocks):
            name, inner = f"layer{layer}.{block}.", out // 4
            convs[name + "conv1", name + "bn1"] = (inner, entering, 1, 1)
            convs[name + "conv2", name + "bn2"] = (inner, inner, 3, 3)
            convs[name + "conv3", name + "bn3"] = (out, inner, 1, 1)
            if block == 0:
                convs[name + "downsample.0", name + "downsample.1"] = (out, entering, 1, 1)
            entering = out
    parts: dict[str, tuple[int, ...]] = {}
    for (conv, norm), sides in convs.items():
        parts[f"backbone.{conv}.weight"] = sides
        parts |= {f"backbone.{norm}.{part}": sides[:1] for part in BATCH_NORM}
        parts[f"backbone.{norm}.num_batches_tracked"] = ()
    return parts


def random_checkpoint(shape: Shape, seed: int = 0) -> dict[str, Tensor]:
    """A whole ResNet-50 model in which no weight is at its start and activations stay near one.

    Residuals are as large as what they correct, boxes shrink stage by stage from the whole image, and scores differ.
    """
    shapes = backbone_shapes() | shapes_of(shape)
    for level, width in enumerate(WIDTHS):
        name = f"neck.lateral_convs.{level}.conv."
        shapes |= {name + "weight": (shape.dim, width, 1, 1), name + "bias": (shape.dim,)}
    shapes |= {"neck.gn_out.weight": (shape.dim,), "neck.gn_out.bias": (shape.dim,)}
    shapes["rpn_head.init_content_features.weight"] = (shape.num_queries, shape.dim)
    shapes["rpn_head.init_proposal_bboxes.weight"] = (shape.num_queries, 4)  # which no model reads
    random, weights = torch.Generator().manual_seed(seed), {}
    for name, size in shapes.items():
        noise = torch.randn(size, generator=random)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(1000)
        elif name.endswith(("iof_tau", "running_var")):
            weights[name] = torch.rand(size, generator=random) + 0.5
        elif "_parameters." in name:  # the sum over both ranks of L E R is as large as E
            weights[name] = noise / shape.rank**0.5
        elif name.startswith("rpn_head."):
            weights[name] = noise
        elif noise.ndim > 1:
            weights[name] = noise / noise[0].numel() ** 0.5
        else:
            weights[name] = 0.1 * noise + name.endswith("weight")  # norms are near one, biases near zero
        if "bn3.weight" in name or "fc_reg" in name or "sampling_offset" in name:
            weights[name] *= 0.3  # a block of ResNet adds less than it gets; boxes and points move by parts of a box
        if name.endswith("fc_reg.bias"):
            weights[name] -= torch.tensor([0, 0, 0.4, 0])
        elif name.endswith("fc_cls.bias"):
            weights[name] -= 3
    return weights
