"""Processes with a part of the batch each are one process with all of it, and end as one."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from multiprocessing import set_forkserver_preload
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.hooks import EMAHook
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.structures import InstanceData
from references.small import randomise
from references.tiny import ADAMIXER, LORS, make_data, tiny_config
from torch import nn

from lors_det.adamixer import StageOutput
from lors_det.adamixer.target import Target
from lors_det.plugin.criterion import set_criterion
from lors_det.plugin.loop.statistics import share_statistics

NUM_STEPS, BATCH = 3, 4
DECODERS: dict[str, tuple[Path, dict[str, Any]]] = {
    "lors": (LORS, {}),
    "adamixer": (ADAMIXER, {}),
    "grouped": (LORS, {"model.bbox_head.decoder.share": (0, 0, 1, 1)}),
    "lors+": (LORS, {"model.bbox_head.decoder.layer_rank": 2}),
    "selected": (LORS, {"model.bbox_head.query_start": "selected"}),
    "recipe": (
        LORS,
        {
            "model.bbox_head.decoder.residual_gain": True,
            "model.bbox_head.decoder.mean_gradient": True,
            "model.bbox_head.decoder.recollect_from": 1,
            "model.bbox_head.decoder.look_forward_twice": True,
            "model.bbox_head.criterion": dict(class_loss="matchability", queries_per_object=(2, 2, 1, 1)),
        },
    ),
}
DRAWN: dict[str, tuple[Path, dict[str, Any]]] = {
    "denoising": (LORS, {"model.bbox_head.denoising": dict(num_groups=2)}),
    "noise": (LORS, {"model.bbox_head.decoder.query_noise": 0.1}),
}
"""With numbers that each process draws for itself, so that they make another step together than one alone."""


def batch(step: int) -> dict[str, Any]:
    """Images of 64 x 64 with 0 to 3 boxes; the halves have different numbers of boxes."""
    generator = torch.Generator().manual_seed(step)
    images, samples = [], []
    for image in range(BATCH):
        images.append(torch.randint(0, 256, (3, 64, 64), generator=generator, dtype=torch.uint8))
        count = image
        corner = torch.rand(count, 2, generator=generator) * 30
        truth = InstanceData(
            bboxes=torch.cat([corner, corner + 20], 1), labels=torch.randint(0, 6, (count,), generator=generator)
        )
        info = dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1.0, 1.0))
        samples.append(DetDataSample(metainfo=info, gt_instances=truth))
    return dict(inputs=images, data_samples=samples)


def in_processes(work: Callable[..., None], num: int, *args: object) -> None:
    """``work(rank, *args)`` in so many processes, copies of one that has loaded mmdet, which takes seconds."""
    set_forkserver_preload(["lors_det.plugin"])
    mp.start_processes(work, args=args, nprocs=num, start_method="forkserver")


def train_all(rank: int, world: int, folder: Path) -> None:
    """Train each decoder on this process's part in float64; write the logged losses and the weights."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store{world}", rank=rank, world_size=world)
    for decoder, (config, changes) in {**DECODERS, **DRAWN}.items():
        torch.manual_seed(0)
        model = MODELS.build(tiny_config(folder / "shapes", folder, config, **changes).model).double()
        randomise(model.bbox_head, std=0.02)  # residuals that start at zero hide their other factor's gradient
        start = deepcopy(model.state_dict())
        if world > 1:
            model = MMDistributedDataParallel(model)  # find_unused_parameters is off
        # plain SGD: Adam would divide rounding errors of gradients near zero by themselves
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
        share, losses = BATCH // world, []
        for step in range(NUM_STEPS):
            data = {name: values[rank * share : (rank + 1) * share] for name, values in batch(step).items()}
            logged = model.train_step(data, wrapper)
            losses.append({name: value.detach() for name, value in logged.items() if "loss" in name})
        state = (model.module if world > 1 else model).state_dict()
        torch.save({"losses": losses, "state": state, "start": start}, folder / f"{decoder}-{world}-{rank}.pth")
    if world > 1:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """What one, two and four processes made of the same batches; each of the four has an image, one of them no box."""
    folder = tmp_path_factory.mktemp("trained")
    make_data(folder / "shapes")
    train_all(0, 1, folder)
    for world in (2, 4):
        in_processes(train_all, world, world, folder)
    return folder


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("decoder", DECODERS)
def test_processes_equal_one(trained, decoder, world):
    one = torch.load(trained / f"{decoder}-1-0.pth")
    parts = [torch.load(trained / f"{decoder}-{world}-{rank}.pth") for rank in range(world)]
    for alone, *shares in zip(one["losses"], *(part["losses"] for part in parts)):
        assert alone.keys() == shares[0].keys()
        for name, value in alone.items():
            # the processes divide by the mean number of matches, so the mean of their losses is the whole loss
            mean = torch.stack([share[name] for share in shares]).mean(0)
            torch.testing.assert_close(mean, value, rtol=1e-6, atol=1e-9, msg=name)
    moved = 0
    for name in one["state"]:
        assert all(torch.equal(part["state"][name], parts[0]["state"][name]) for part in parts[1:]), name
        # of what training changed, not of the weights, which would hide gradients that are small beside them
        expected, found = (
            state[name].double() - one["start"][name].double() for state in (one["state"], parts[0]["state"])
        )
        moved += bool(expected.any())
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()), msg=name)
    assert moved > 100


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("decoder", DRAWN)
def test_processes_stay_equal(trained, decoder, world):
    parts = [torch.load(trained / f"{decoder}-{world}-{rank}.pth") for rank in range(world)]
    assert all(torch.isfinite(value) for part in parts for step in part["losses"] for value in step.values())
    for part in parts[1:]:
        assert [step.keys() for step in part["losses"]] == [step.keys() for step in parts[0]["losses"]]
        assert all(torch.equal(value, parts[0]["state"][name]) for name, value in part["state"].items())


def learn_statistics(rank: int, folder: Path) -> None:
    """Let norms of a model and of the mean of its weights see other images in each process, and share what they saw."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    model[1].eval()
    model(torch.tensor([[0.0, 1.0], [2.0, 3.0]]) + 10 * rank)
    model[1].running_mean.fill_(rank)
    mean = EMAHook()
    mean.ema_model = SimpleNamespace(module=deepcopy(model).eval())
    share_statistics(SimpleNamespace(model=model, hooks=[mean]))
    torch.save([model.state_dict(), mean.ema_model.module.state_dict()], folder / f"{rank}.pth")
    dist.destroy_process_group()


def test_learned_statistics_are_those_of_all_processes(tmp_path):
    """Of a norm that learns; and of none that does not."""
    in_processes(learn_statistics, 2, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in (0, 1))
    for one, other in zip(first, second):
        # momentum .1; means (1, 2) and (11, 12)
        torch.testing.assert_close(one["0.running_mean"], torch.tensor([0.6, 0.7]))
        for name in ("0.running_mean", "0.running_var"):
            assert torch.equal(one[name], other[name])
        assert (one["1.running_mean"][0], other["1.running_mean"][0]) == (0, 1)


DIVERGED = ({}, {0: (1, 1)}, {1: (0, 2)}, {0: (1, 0), 1: (0, 0)})
"""Of steps in turn: the process that diverges, and the stage and image in which it does."""


def diverge(rank: int, folder: Path) -> None:
    """Losses of ``rank + 2`` images in two stages, once for each of ``DIVERGED``.

    Writes how each step ended, and its number of reductions.
    """
    torch.set_num_threads(1)
    # a process that waits for one that has raised gives up after the timeout, which is also that of their meeting
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(seconds=120)
    )
    reductions, all_reduce = [], dist.all_reduce
    dist.all_reduce = lambda *args, **kwargs: reductions.append(1) or all_reduce(*args, **kwargs)
    targets = [Target(torch.tensor([[4.0, 4.0, 20.0, 20.0]]), torch.tensor([1]))] * (rank + 2)
    ends = []
    for places in DIVERGED:
        logits, boxes = torch.zeros(2, rank + 2, 4, 3), torch.tensor([8.0, 8.0, 24.0, 24.0]).repeat(2, rank + 2, 4, 1)
        if rank in places:
            logits[(*places[rank], 0, 0)] = float("nan")
        outputs = [StageOutput(*predicted, None) for predicted in zip(logits, boxes)]
        reductions.clear()
        end = "finished"
        try:
            set_criterion()(outputs, targets, torch.full((rank + 2, 2), 32.0))
        except (FloatingPointError, RuntimeError) as error:
            end = f"{type(error).__name__}: {error}"
        ends.append((end, len(reductions)))
    (folder / f"{rank}.json").write_text(json.dumps(ends))
    dist.destroy_process_group()


def test_divergence_of_one_process_ends_all(tmp_path):
    """With the same words, and without a reduction more than a healthy step has."""
    in_processes(diverge, 2, tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first[0] == ["finished", 1]
    for (end, num_reductions), places in zip(first[1:], DIVERGED[1:]):
        rank = min(places)
        stage, image = places[rank]
        assert end.startswith(f"PredictionError: stage {stage} predicts logits or boxes that are not finite")
        assert f"for image {image} of the batch of rank {rank}:" in end
        assert num_reductions == 1
