"""What each part of the recipe costs a training step of the published model, in time, memory and operations.

python -m trials.recipe_cost [--height 800 --width 1344 --rounds 5 --bfloat16 --parts denoising recollection]

Steps of all models take turns in one process, and a part's time is the median of its ratios to the published recipe's
step of the same turn. A step here is the two passes, without the optimiser's. Memory is that of the tensors that the
forward pass keeps for the backward one, each storage once, and of the weights' mean: it depends on no allocator.
Operations are those of a step, but for views: what a GPU waits for where a step is small. Images have as many objects
as those of COCO, seven. It ends with an error if a part that adds neither queries nor weights costs more than a tenth.
"""

from __future__ import annotations

import statistics
import time
from argparse import ArgumentParser
from typing import Any, NamedTuple

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseAveragedModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from benchmarks.counting import counted
from lors_det.plugin.config.stand_in import load_without_data
from lors_det.plugin.norm_folding import turn_on_efficient_conv_bn_eval

CONFIG = "lors_det::lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py"
OBJECTS = 7
DECODER = "model.bbox_head.decoder"
PARTS: dict[str, dict[str, Any]] = {
    "denoising": {"model.bbox_head.denoising": {"num_groups": 5}},
    "recollection": {f"{DECODER}.recollect_from": 1},
    "look forward twice": {f"{DECODER}.look_forward_twice": True},
    "several queries": {"model.bbox_head.criterion": {"queries_per_object": [4, 4, 2, 2, 1, 1]}},
    "matchability": {"model.bbox_head.criterion": {"class_loss": "matchability"}},
    "varifocal": {"model.bbox_head.criterion": {"class_loss": "varifocal"}},
    "selected queries": {"model.bbox_head.query_start": "selected"},
    "gradients of two stages": {f"{DECODER}.gradient_stages": 2},
    "gains": {f"{DECODER}.residual_gain": True},
    "mean gradients": {f"{DECODER}.mean_gradient": True},
    "noise on queries": {f"{DECODER}.query_noise": 0.1},
    "pairs of neighbours": {f"{DECODER}.share": [0, 0, 1, 1, 2, 2]},
    "grid of starts": {"model.bbox_head.query_start": "grid"},
    "folded norms": {"efficient_conv_bn_eval": "backbone"},
    "twice the rank": {f"{DECODER}.adaptive_rank": 32, f"{DECODER}.static_rank": 16},
    "mean of the weights": {"custom_hooks": [{"type": "EMAHook", "ema_type": "ExpMomentumEMA", "momentum": 0.002}]},
}
"""Values of each part."""
TOGETHER = "five together"
"""The first five."""
FREE = list(PARTS)[2:-2]
"""Parts that add no queries, and weights that are few beside a decoder's."""
MOST = 1.1


class Arm(NamedTuple):
    """A model in training.

    Attributes:
        model: on the device.
        average: the mean of its weights, where the config asks for one.
    """

    model: nn.Module
    average: BaseAveragedModel | None

    def train(self, images: Tensor, samples: list[DetDataSample], bfloat16: bool) -> list[Tensor]:
        """A forward and a backward pass, and the mean's update; returns the losses."""
        losses = list(_losses(self.model, images, samples, bfloat16).values())
        torch.stack(losses).sum().backward()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.model.zero_grad(set_to_none=True)
        return losses


def built(config: str, options: dict[str, Any], device: str) -> Arm:
    """A config's model with these values."""
    cfg = load_without_data(config, {"model.backbone.init_cfg": None, **options}, say=lambda words: None)
    model = MODELS.build(cfg.model).to(device).train()
    turn_on_efficient_conv_bn_eval(model, cfg.get("efficient_conv_bn_eval") or [])
    average = None
    for hook in (hook for hook in cfg.get("custom_hooks", []) if "ema_type" in hook):
        average = MODELS.build(dict(type=hook["ema_type"], model=model, momentum=hook["momentum"]))
    return Arm(model, average)


def seconds_of(arm: Arm, images: Tensor, samples: list[DetDataSample], bfloat16: bool) -> float:
    """Of a step: by the clock with a GPU, else those of all cores together."""
    clock = time.perf_counter if images.is_cuda else time.process_time  # the second is not disturbed by other work
    _synchronise(images)
    began = clock()
    arm.train(images, samples, bfloat16)
    _synchronise(images)
    return clock() - began


def kept(arm: Arm, images: Tensor, samples: list[DetDataSample], bfloat16: bool) -> int:
    """Bytes that a forward pass keeps for the backward one, without the weights, and bytes of the weights' mean."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*arm.model.parameters(), *arm.model.buffers())}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # itself, it could hold the graph that holds it

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = _losses(arm.model, images, samples, bfloat16)
        total = sum(sizes.values())
        del losses
    return total + sum(tensor.nbytes for tensor in arm.average.parameters()) if arm.average is not None else total


def dispatched(arm: Arm, images: Tensor, samples: list[DetDataSample], bfloat16: bool) -> int:
    """Operations of a step."""
    return counted(arm.train, (images, samples, bfloat16))[1].operations


def _losses(model: nn.Module, images: Tensor, samples: list[DetDataSample], bfloat16: bool) -> dict[str, Any]:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
        losses: dict[str, Any] = model.loss(images, samples)  # type: ignore[operator]
    return losses


def _synchronise(images: Tensor) -> None:
    if images.is_cuda:
        torch.cuda.synchronize()


def _sample(height: int, width: int, num_classes: int, generator: torch.Generator) -> DetDataSample:
    low = torch.rand(OBJECTS, 2, generator=generator) * 0.7
    boxes = torch.cat([low, low + 0.05 + 0.25 * torch.rand(OBJECTS, 2, generator=generator)], dim=1)
    truth = InstanceData(
        bboxes=boxes * torch.tensor([width, height, width, height]),
        labels=torch.randint(0, num_classes, (OBJECTS,), generator=generator),
    )
    shape = (height, width)
    info = dict(img_shape=shape, pad_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0))
    return DetDataSample(metainfo=info, gt_instances=truth)


def main() -> None:
    """The command."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=CONFIG, help="in place of the published one")
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1344)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, TOGETHER], default=[*PARTS, TOGETHER], metavar="PART")
    args = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    together = {key: value for part in list(PARTS.values())[:5] for key, value in part.items()}
    together["model.bbox_head.criterion"] = {
        **PARTS["several queries"]["model.bbox_head.criterion"],
        **PARTS["matchability"]["model.bbox_head.criterion"],
    }
    chosen = {name: values for name, values in {**PARTS, TOGETHER: together}.items() if name in args.parts}
    arms = {name: built(args.config, values, device) for name, values in {"published": {}, **chosen}.items()}
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(args.batch, 3, args.height, args.width, generator=generator).to(device)
    head: Any = arms["published"].model.bbox_head
    samples = [_sample(args.height, args.width, head.num_classes, generator).to(device) for _ in range(args.batch)]
    sizes = {name: kept(arm, images, samples, args.bfloat16) for name, arm in arms.items()}
    operations = {name: dispatched(arm, images, samples, args.bfloat16) for name, arm in arms.items()}
    ratios: dict[str, list[float]] = {name: [] for name in arms}
    seconds = []
    for number in range(args.rounds + 1):
        of_round = {name: seconds_of(arm, images, samples, args.bfloat16) for name, arm in arms.items()}
        if number:  # the first warms up
            seconds.append(of_round["published"])
            for name, own in of_round.items():
                ratios[name].append(own / of_round["published"])
    print(
        f"published: {statistics.median(seconds):.3f} s a step on {device}, {sizes['published'] / 2**20:.0f} MiB kept, "
        f"{operations['published']} operations"
    )
    print("| part | time of a step | memory | operations |\n|---|---|---|---|")
    for name in arms:
        share = sizes[name] / sizes["published"]
        more = operations[name] / operations["published"]
        print(f"| {name} | {statistics.median(ratios[name]):.2f} | {share:.2f} | {more:.2f} |")
    dear = [
        name
        for name in FREE
        if name in arms and (statistics.median(ratios[name]) > MOST or sizes[name] > MOST * sizes["published"])
    ]
    if dear:
        raise SystemExit(f"error: {', '.join(dear)} cost more than {MOST} times the published step")


if __name__ == "__main__":
    main()
