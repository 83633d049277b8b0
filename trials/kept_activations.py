"""Mebibytes that a training step keeps for its backward pass, with modules recomputed, norms folded, and without.

python -m trials.kept_activations
python -m trials.kept_activations --config CONFIG --shape 800 1280 --recompute backbone bbox_head.decoder.stack
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

import lors_det.plugin  # noqa: F401 - registers
from lors_det.plugin.activation_checkpointing import turn_on_activation_checkpointing
from lors_det.plugin.config.stand_in import load_without_data
from lors_det.plugin.norm_folding import turn_on_efficient_conv_bn_eval

CONFIG = "lors_det::lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py"
CHOICES: tuple[tuple[list[str], list[str]], ...] = (
    ([], []),
    ([], ["backbone"]),
    (["bbox_head.decoder.stack"], []),
    (["bbox_head.decoder.stack"], ["backbone"]),
    (["backbone"], []),
    (["backbone", "bbox_head.decoder.stack"], []),
)
"""Modules that are recomputed, and those whose norms are folded."""


def kept(config: str, shape: tuple[int, int], recompute: list[str], fold: list[str]) -> float:
    """MiB of one image with two objects, in float32; parameters are not counted."""
    cfg = load_without_data(config, None, say=lambda words: None)
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    turn_on_efficient_conv_bn_eval(model, fold)
    turn_on_activation_checkpointing(model, recompute)
    saved: dict[int, Tensor] = {}

    def pack(value: Tensor) -> Tensor:
        saved[value.untyped_storage().data_ptr()] = value  # which holds it, so that no other gets its address
        return value.detach()  # the tensor itself would keep its own graph

    boxes = torch.tensor([[10.0, 10.0, 200.0, 300.0], [300.0, 200.0, 600.0, 500.0]])
    truth = InstanceData(bboxes=boxes, labels=torch.tensor([0, 3]))
    info = dict(img_shape=shape, ori_shape=shape, scale_factor=(1.0, 1.0), batch_input_shape=shape)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        model.loss(torch.rand(1, 3, *shape), [DetDataSample(metainfo=info, gt_instances=truth)])
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    return sum(value.untyped_storage().nbytes() for place, value in saved.items() if place not in own) / 2**20


def arguments() -> Namespace:
    """The command's words."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--shape", nargs=2, type=int, default=(800, 1280), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--recompute", nargs="+", default=[], metavar="MODULE", help="one choice in place of six")
    parser.add_argument("--fold", nargs="+", default=[], metavar="MODULE", help="likewise, modules with folded norms")
    return parser.parse_args()


def main() -> None:
    """The command."""
    args = arguments()
    chosen = args.recompute, args.fold
    for recompute, fold in [chosen] if any(chosen) else CHOICES:
        mebibytes = kept(args.config, tuple(args.shape), recompute, fold)
        norms = f", norms of {', '.join(fold)} folded" if fold else ""
        print(f"{mebibytes:7.0f} MiB  {', '.join(recompute) or 'nothing'} recomputed{norms}")


if __name__ == "__main__":
    main()
