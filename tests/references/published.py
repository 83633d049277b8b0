"""The published detectors as plain functions of a published state dict: an oracle for whole models.

Written from the papers, from the names and shapes that published checkpoints carry, and from the golden numbers, and
sharing no code with ``lors_det``: kernels are materialised stage by stage, levels are sampled one at a time, images are
matched one at a time. Docstrings name the part of AdaMixer (CVPR 2022) or LORS (CVPR 2024) that they follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

STRIDES = (4, 8, 16, 32)
WIDTHS = (256, 512, 1024, 2048)
BLOCKS = (3, 4, 6, 3)
"""Channels and blocks of C2-C5 of ResNet-50."""

BATCH_NORM = ("running_mean", "running_var", "weight", "bias")

State = Mapping[str, Tensor]


class Shape(NamedTuple):
    """Sizes of a model; those of the residuals are LORS's alone, and its K tells it from AdaMixer."""

    dim: int = 256
    num_heads: int = 8
    ffn_dim: int = 2048
    num_classes: int = 80
    num_queries: int = 100
    num_stages: int = 6
    num_groups: int = 4
    num_points: int = 32
    num_out_points: int = 128
    adaptive_groups: tuple[int, ...] = ()
    rank: int = 0
    static_rank: int = 0


PUBLISHED = {
    "lors": Shape(num_groups=2, num_points=64, adaptive_groups=(1, 1, 2, 2, 3, 3), rank=16, static_rank=8),
    "adamixer": Shape(),
}


class Stage(NamedTuple):
    """What a stage gives: logits (B, Q, N), boxes (B, Q, 4) in pixels, content (B, Q, D), position (B, Q, 4)."""

    logits: Tensor
    boxes_xyxy: Tensor
    content: Tensor
    xyzr: Tensor


class Batch(NamedTuple):
    """Network input (B, 3, H, W), padded; (w, h) of each image before padding; (w, h) factors of the resize."""

    images: Tensor
    sizes: Tensor
    factors: Tensor


# --- image to queries


def preprocess(paths: Sequence[Path], scale: tuple[int, int], *, mirror: bool = False) -> Batch:
    """AdaMixer, input: resized within (long, short) edges, RGB, normalised, zeros up to a multiple of 32.

    float64 after the resize; the statistics are rounded to float32, the precision in which a preprocessor keeps them.
    """
    mean, std = (torch.tensor(s).double() for s in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    images, sizes, factors = [], [], []
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        height, width = image.shape[:2]
        ratio = min(max(scale) / max(height, width), min(scale) / min(height, width))
        size = int(width * ratio + 0.5), int(height * ratio + 0.5)
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)[:, :: -1 if mirror else 1, ::-1]
        images.append((torch.from_numpy(image.copy()).double() - mean) / std)
        sizes.append(size)
        factors.append((size[0] / width, size[1] / height))
    height, width = (-(-max(image.shape[d] for image in images) // 32) * 32 for d in (0, 1))
    batch = torch.zeros(len(images), 3, height, width, dtype=torch.float64)
    for padded, image in zip(batch, images):
        padded[:, : image.shape[0], : image.shape[1]] = image.permute(2, 0, 1)
    return Batch(batch, torch.tensor(sizes), torch.tensor(factors, dtype=torch.float64))


def resnet50(weights: State, images: Tensor) -> list[Tensor]:
    """C2-C5 of He et al. 2016, BatchNorm with its running statistics, the stride in the 3x3 convolution."""

    def conv(x: Tensor, name: str, norm: str, **options: int) -> Tensor:
        x = F.conv2d(x, weights[f"backbone.{name}.weight"], **options)
        return F.batch_norm(x, *(weights[f"backbone.{norm}.{part}"] for part in BATCH_NORM))

    x = F.max_pool2d(conv(images, "conv1", "bn1", stride=2, padding=3).relu(), 3, stride=2, padding=1)
    levels = []
    for layer, num_blocks in enumerate(BLOCKS, start=1):
        for block in range(num_blocks):
            name = f"layer{layer}.{block}."
            stride = 2 if layer > 1 and block == 0 else 1
            y = conv(x, name + "conv1", name + "bn1").relu()
            y = conv(y, name + "conv2", name + "bn2", stride=stride, padding=1).relu()
            y = conv(y, name + "conv3", name + "bn3")
            if block == 0:
                x = conv(x, name + "downsample.0", name + "downsample.1", stride=stride)
            x = (x + y).relu()
        levels.append(x)
    return levels


def neck(weights: State, levels: Sequence[Tensor]) -> list[Tensor]:
    """A 1x1 convolution a level, then the one GroupNorm(32) of all levels."""
    names = [f"neck.lateral_convs.{level}.conv" for level in range(len(levels))]
    levels = [F.conv2d(x, weights[name + ".weight"], weights[name + ".bias"]) for x, name in zip(levels, names)]
    return [F.group_norm(x, 32, weights["neck.gn_out.weight"], weights["neck.gn_out.bias"]) for x in levels]


def initial_queries(weights: State, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """AdaMixer, initial queries: one normalised content for all images; each position is the whole unpadded image."""
    table = weights["rpn_head.init_content_features.weight"]
    content = F.layer_norm(table, table.shape[-1:])
    width, height = sizes.to(table).unbind(-1)
    xyzr = torch.stack([width / 2, height / 2, (width * height).sqrt().log2(), (height / width).log2()], dim=-1)
    return content.expand(len(sizes), -1, -1), xyzr[:, None].expand(-1, len(table), -1)


# --- one stage


def boxes_of(xyzr: Tensor) -> Tensor:
    """AdaMixer, object query definition: width 2^(z - r/2), height 2^(z + r/2) around (x, y)."""
    x, y, z, r = xyzr.unbind(-1)
    half_width, half_height = 2 ** (z - r / 2) / 2, 2 ** (z + r / 2) / 2
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)


def linear(weights: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[name + ".weight"], weights[name + ".bias"])


def layer_norm(weights: State, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[name + ".weight"], weights[name + ".bias"])


def position_embedding(xyzr: Tensor, dim: int) -> Tensor:
    """AdaMixer, self-attention: interleaved sines and cosines of (x / 1000, y / 1000, z, r), D/4 features each."""
    i = torch.arange(dim // 4)
    angle = (xyzr / xyzr.new_tensor([1000, 1000, 1, 1]))[..., None] / 10000 ** (2 * (i // 2).to(xyzr) / (dim // 4))
    return torch.where(i % 2 == 0, angle.sin(), angle.cos()).flatten(-2)


def attend(weights: State, shape: Shape, stage: str, content: Tensor, xyzr: Tensor) -> Tensor:
    """AdaMixer, self-attention: logits get tau log(intersection over foreground); the residual is embedded."""
    boxes = boxes_of(xyzr).detach()
    sides = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    sides = (sides - torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])).clamp(min=0)
    iof = sides.prod(-1) / (boxes[..., 2:] - boxes[..., :2]).prod(-1)[:, :, None]  # (B, i, j), of box i's area
    u = content + position_embedding(xyzr, shape.dim).detach()
    name = stage + "attention.attn."
    qkv = F.linear(u, weights[name + "in_proj_weight"], weights[name + "in_proj_bias"])
    query, key, value = qkv.unflatten(-1, (3, shape.num_heads, -1)).permute(2, 0, 3, 1, 4)  # (B, heads, Q, d)
    bias = weights[stage + "iof_tau"][:, None, None] * (iof + 1e-7).log()[:, None]
    attention = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + bias).softmax(-1)
    out = linear(weights, name + "out_proj", (attention @ value).transpose(1, 2).flatten(2))
    return layer_norm(weights, stage + "attention_norm", u + out)


def points_of(weights: State, shape: Shape, stage: str, content: Tensor, xyzr: Tensor) -> Tensor:
    """AdaMixer, adaptive location sampling: (B, Q, G, P, 3), x and y in pixels, z in log2 of pixels."""
    name = stage + ("sampling." if shape.adaptive_groups else "sampling_n_mixing.") + "sampling_offset_generator.0"
    offsets = linear(weights, name, content).unflatten(-1, (shape.num_groups, shape.num_points, 3))
    x, y, z, r = xyzr[:, :, None, None].unbind(-1)
    ox, oy, oz = offsets.unbind(-1)
    return torch.stack([x + ox * 2 ** (z - r / 2), y + oy * 2 ** (z + r / 2), z + oz], dim=-1)


def sample(shape: Shape, levels: Sequence[Tensor], points: Tensor) -> Tensor:
    """AdaMixer, 3-D sampling: bilinear in a level, zeros outside, a softmax over levels; (B, Q, G, P, C)."""
    strides = torch.tensor(STRIDES).to(points)
    level_weights = (-((points[..., 2:] - strides.log2()) ** 2) / 2).softmax(-1)  # (B, Q, G, P, L)
    total = 0
    for x, stride, weight in zip(levels, STRIDES, level_weights.unbind(-1)):
        by_group = x.unflatten(1, (shape.num_groups, -1)).flatten(0, 1)
        size_px = points.new_tensor([x.shape[-1] * stride, x.shape[-2] * stride])  # of the padded image
        grid = (points[..., :2] / size_px * 2 - 1).transpose(1, 2).flatten(0, 1)  # (B G, Q, P, 2)
        found = F.grid_sample(by_group, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        found = found.unflatten(0, (-1, shape.num_groups)).permute(0, 3, 1, 4, 2)
        total = total + found * weight[..., None]
    return total


def kernels_of(weights: State, shape: Shape, i: int, content: Tensor) -> tuple[Tensor, Tensor]:
    """M (B, Q, G, C, C) and S (B, Q, G, O, P) of AdaMixer's mixing; LORS, adaptive: shared + sum_k L E R."""
    groups, channels = shape.num_groups, shape.dim // shape.num_groups
    lors = "roi_head.adaptive_mixing."
    own = f"roi_head.bbox_head.{i}.sampling_n_mixing.adaptive_mixing.parameter_generator.0"
    rows = linear(weights, lors + "common_parameter_generator" if shape.adaptive_groups else own, content)
    rows = rows.unflatten(-1, (groups, -1))
    channel = rows[..., : channels**2].unflatten(-1, (channels, channels))
    spatial = rows[..., channels**2 :].unflatten(-1, (shape.num_out_points, shape.num_points))
    if not shape.adaptive_groups:
        return channel, spatial
    cores = linear(weights, f"{lors}private_parameter_generator.{i}", content)
    cores = cores.unflatten(-1, (2, groups, shape.adaptive_groups[i], shape.rank, shape.rank)).unbind(2)
    residuals = []
    for core, kind in zip(cores, "ms"):
        left, right = (weights[f"{lors}{kind}{side}_parameters.{i}"].unflatten(0, (groups, -1)) for side in "lr")
        residuals.append(torch.einsum("gkar,bqgkrs,gksc->bqgac", left, core, right))
    return channel + residuals[0], spatial + residuals[1]


def mix(weights: State, shape: Shape, i: int, sampled: Tensor, content: Tensor) -> Tensor:
    """AdaMixer, adaptive content mixing; LORS, static: the projection is W + B A. One LayerNorm, after the residual."""
    channel, spatial = kernels_of(weights, shape, i, content)
    h = sampled @ channel
    h = F.layer_norm(h, h.shape[-2:]).relu()
    o = spatial @ h
    o = F.layer_norm(o, o.shape[-2:]).relu().flatten(2)
    if shape.adaptive_groups:
        name = "roi_head.adaptive_mixing."
        added = weights[f"{name}out_weight_add_B.{i}"] @ weights[f"{name}out_weight_add_A.{i}"]
        out = F.linear(o, weights[name + "base_out_proj.weight"] + added, weights[f"{name}out_weight_bias.{i}"])
        return layer_norm(weights, f"{name}out_norm.{i}", content + out)
    name = f"roi_head.bbox_head.{i}.sampling_n_mixing."
    return layer_norm(weights, name + "norm", content + linear(weights, name + "adaptive_mixing.out_proj", o))


def decode(weights: State, shape: Shape, levels: Sequence[Tensor], content: Tensor, xyzr: Tensor) -> list[Stage]:
    """AdaMixer, decoder: the stages, each refining position and content; the position enters the next one detached."""
    outputs = []
    for i in range(shape.num_stages):
        stage = f"roi_head.bbox_head.{i}."
        content = attend(weights, shape, stage, content, xyzr)
        sampled = sample(shape, levels, points_of(weights, shape, stage, content, xyzr))
        content = mix(weights, shape, i, sampled, content)
        hidden = linear(weights, stage + "ffn.layers.0.0", content).relu()
        content = layer_norm(weights, stage + "ffn_norm", content + linear(weights, stage + "ffn.layers.1", hidden))
        heads = {}
        for kind in ("cls", "reg"):
            hidden = linear(weights, f"{stage}{kind}_fcs.0", content)
            heads[kind] = linear(
                weights, f"{stage}fc_{kind}", layer_norm(weights, f"{stage}{kind}_fcs.1", hidden).relu()
            )
        delta = heads["reg"]
        xyzr = torch.cat([xyzr[..., :2] + delta[..., :2] * 2 ** xyzr[..., 2:3], xyzr[..., 2:] + delta[..., 2:]], dim=-1)
        outputs.append(Stage(heads["cls"], boxes_of(xyzr), content, xyzr))
        xyzr = xyzr.detach()
    return outputs


def forward(weights: State, shape: Shape, batch: Batch) -> list[Stage]:
    """The whole detector."""
    levels = neck(weights, resnet50(weights, batch.images))
    return decode(weights, shape, levels, *initial_queries(weights, batch.sizes))


# --- what comes of the stages


def detect(last: Stage, factors: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Boxes in pixels of the file, scores and labels of each image: the best Q of the Q N scores, best first."""
    found = []
    for logits, boxes, factor in zip(last.logits, last.boxes_xyxy, factors):
        scores, order = logits.sigmoid().flatten().sort(descending=True)
        scores, order = scores[: len(logits)], order[: len(logits)]
        num_classes = logits.shape[1]
        found.append((boxes[order // num_classes] / factor.repeat(2), scores, order % num_classes))
    return found


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Rezatofighi et al. 2019; boxes (..., 4) that broadcast."""
    area_a, area_b = ((box[..., 2:] - box[..., :2]).prod(-1) for box in (a, b))
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    outer = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = area_a + area_b - inner
    return inner / union - (outer - union) / outer


def losses(outputs: Sequence[Stage], targets: Sequence[tuple[Tensor, Tensor]], sizes: Tensor) -> dict[str, Tensor]:
    """AdaMixer, loss: every stage and image matched by itself; focal 2, L1 5, GIoU 2; over the batch's matches."""
    num_matched = max(1, sum(min(len(labels), outputs[0].logits.shape[1]) for _, labels in targets))
    found: dict[str, Any] = {}
    for i, stage in enumerate(outputs):
        focal = l1 = overlap = 0
        for logits, boxes, size, (true, labels) in zip(stage.logits, stage.boxes_xyxy, sizes.to(stage.logits), targets):
            whwh, true = size.repeat(2), true.to(boxes)
            p = logits.detach().sigmoid()
            positive = 0.25 * (1 - p) ** 2 * -(p + 1e-12).log()
            negative = 0.75 * p**2 * -(1 - p + 1e-12).log()
            far = ((boxes.detach() / whwh)[:, None] - (true / whwh)[None]).abs().sum(-1)
            cost = 2 * (positive - negative)[:, labels] + 5 * far - 2 * giou(boxes.detach()[:, None], true[None])
            query, target = (torch.from_numpy(index) for index in linear_sum_assignment(cost.numpy()))
            is_positive = torch.zeros_like(logits, dtype=torch.bool)
            is_positive[query, labels[target]] = True
            p = logits.sigmoid()
            terms = (-0.25 * (1 - p) ** 2 * F.logsigmoid(logits), -0.75 * p**2 * F.logsigmoid(-logits))
            focal += torch.where(is_positive, *terms).sum()
            l1 += ((boxes[query] - true[target]) / whwh).abs().sum()
            overlap += (1 - giou(boxes[query], true[target])).sum()
        for name, weight, total in (("cls", 2, focal), ("bbox", 5, l1), ("iou", 2, overlap)):
            found[f"stage{i}_loss_{name}"] = weight * total / num_matched
    return found
