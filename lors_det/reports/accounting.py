"""Models in numbers: parameters and arithmetic, by component."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lors_det.adamixer import Decoder
from lors_det.adamixer.published import ADAMIXER
from lors_det.errors import InputError
from lors_det.plugin.mmcv_ops import shapes_alone
from lors_det.reports.decoders import decoder_of, summarise

if TYPE_CHECKING:
    from mmdet.models import SingleStageDetector


def build_model(cfg: Config) -> SingleStageDetector:
    """The config's model, with random weights: nothing is downloaded.

    Raises:
        InputError: if it is not of this project.
    """
    if not isinstance(cfg.model.get("bbox_head", {}).get("decoder"), dict) or "backbone" not in cfg.model:
        raise InputError("the config describes no whole model of this project: it lacks model.bbox_head.decoder")
    model = cfg.model.copy()
    model.backbone = {**cfg.model.backbone, "init_cfg": None}
    return MODELS.build(model)


def count_parameters(cfg: Config) -> dict[str, Any]:
    """Parameters of a config's model.

    Returns:
        ``decoder``, ``model``, ``backbone``, ``neck``, ``queries`` and ``denoising`` (of training alone): totals.
        ``model_as_published``: what detects, with the table of Q x 4 that published checkpoints carry and no model
        reads. ``shared``, ``private_mixing`` and
        ``per_stage``: parts of the decoder, see :func:`lors_det.reports.decoders.summarise`. ``components``: for each
        part of a stage, what several stages use and what each stage has for itself. ``same_shape`` and
        ``published_shape``: the AdaMixer decoder of the same shape and, for models of the published width and number of
        stages, of AdaMixer's own shape, with the fraction by which this decoder is smaller.
    """
    model = build_model(cfg)
    decoder = model.bbox_head.decoder
    parts = {
        "decoder": _numel(decoder),
        "model": _numel(model),
        "backbone": _numel(model.backbone),
        "neck": _numel(model.neck),
        "queries": sum(_numel(part) for part in (model.bbox_head.queries, model.bbox_head.selection) if part),
        "denoising": 0 if model.bbox_head.denoising is None else _numel(model.bbox_head.denoising),
    }
    components: dict[str, dict[str, Any]] = {}
    for entry in decoder.ledger():
        component = components.setdefault(entry.component, {"shared": 0, "per_stage": [0] * len(decoder.stack)})
        if entry.shared:
            component["shared"] += entry.numel
        else:
            component["per_stage"][entry.users[0]] += entry.numel
    summary = summarise(decoder.ledger())
    del summary["total"]
    return {
        **parts,
        "model_as_published": parts["model"] - parts["denoising"] + 4 * len(model.bbox_head.queries.content),
        **summary,
        "components": components,
        **_baselines(cfg, parts["decoder"]),
    }


def _baselines(cfg: Config, count: int) -> dict[str, dict[str, float]]:
    spec = decoder_of(cfg).spec
    specs = {"same_shape": spec.folded()}
    if (spec.dim, spec.num_stages) == (ADAMIXER.dim, ADAMIXER.num_stages):
        specs["published_shape"] = ADAMIXER
    with torch.device("meta"):
        baselines = {name: _numel(Decoder(cfg.model.bbox_head.num_classes, each)) for name, each in specs.items()}
    return {name: {"decoder": total, "reduction": round(1 - count / total, 4)} for name, total in baselines.items()}


def count_macs(cfg: Config, height: int, width: int) -> dict[str, Any]:
    """Multiply-accumulates of one image's forward pass, half of what ``FlopCounterMode`` counts as FLOPs.

    Counted are convolutions, matrix products (attention's too) and the sums of 3-D sampling, one for each corner row
    and channel; not counted, as usual, are norms, activations and other element-wise work. The decoder is folded, as it
    is evaluated: correcting its weights is no work of an image, but of a whole evaluation, or of a step in training
    whatever its batch, and is told apart. All stages classify, as in training; a detection classifies in the last
    alone.

    Args:
        cfg: the config.
        height: of the padded image, a multiple of 32, pixels.
        width: likewise.

    Returns:
        ``total``, ``backbone``, ``neck``, ``decoder``, ``selection`` of queries and ``components`` of the decoder;
        ``correction``, what it takes to correct all stages' weights once, which ``total`` leaves out.

    Raises:
        InputError: if the size is no multiple of 32.
    """
    if height < 32 or width < 32 or height % 32 or width % 32:
        raise InputError(
            f"the image size {height} x {width} must be positive multiples of 32, as the model pads to them"
        )
    model = build_model(cfg).eval().to("meta")  # shapes tell the counts: nothing is computed
    ops = torch.ops
    formulas: dict[Any, Callable[..., int]] = {
        ops.aten._embedding_bag: _embedding_bag_flops,
        ops.aten._embedding_bag_forward_only: _embedding_bag_flops,
        ops.torchvision.deform_conv2d: _deform_conv_flops,
    }
    counter, correction = (FlopCounterMode(display=False, custom_mapping=formulas) for _ in range(2))
    with ExitStack() as folded:
        with correction:
            folded.enter_context(model.bbox_head.decoder.folded())
        # fused attention has no formula on every device
        with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH), shapes_alone():
            model(torch.zeros(1, 3, height, width, device="meta"))
    macs = {name: sum(flops.values()) // 2 for name, flops in counter.get_flop_counts().items()}
    root = type(model).__name__
    decoder = f"{root}.bbox_head.decoder"
    components: Counter[str] = Counter()
    for number, stage in enumerate(model.bbox_head.decoder.stack.stages):
        name = f"{decoder}.stack.stages.{number}"
        parts = {part: macs.get(f"{name}.{part}", 0) for part, _ in stage.named_children()}
        parts["sampling"] += macs[name] - sum(parts.values())  # sampling itself is no module
        components.update(parts)
    return {
        "height": height,
        "width": width,
        "total": macs["Global"],
        "backbone": macs[f"{root}.backbone"],
        "neck": macs[f"{root}.neck"],
        "decoder": macs[decoder],
        "selection": macs.get(f"{root}.bbox_head.selection", 0),
        "components": dict(components),
        "correction": correction.get_total_flops() // 2,
    }


def _embedding_bag_flops(
    table: Sequence[int], indices: Sequence[int], *args: Any, out_shape: Any = None, **kwargs: Any
) -> int:
    return 2 * indices[0] * table[1]


def _deform_conv_flops(
    x: Sequence[int], weight: Sequence[int], *args: Any, out_shape: Sequence[int], **kwargs: Any
) -> int:
    """As many products as an ordinary convolution; interpolating its inputs is not counted."""
    batch, channels, height, width = out_shape
    return 2 * batch * channels * height * width * weight[1] * weight[2] * weight[3]


def _numel(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
