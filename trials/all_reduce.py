"""Time the exchange of gradients between processes, LORS-AdaMixer's and AdaMixer's, over gloo on this machine.

python -m trials.all_reduce --processes 2

Bytes are those of the parameters that learn, in float32; times are medians of so many exchanges in turns.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmdet.registry import MODELS

from lors_det.plugin.config.reading import load_config

CONFIGS = {
    "LORS-AdaMixer": "configs/lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py",
    "AdaMixer": "configs/adamixer/adamixer_r50_100-query_1x_coco.py",
}
ROOT = Path(__file__).parent.parent
BUCKET_BYTES = 25 * 2**20
"""Gradients are exchanged in parts of this size, as torch's DistributedDataParallel does."""


def learning_parameters(config: str) -> int:
    """Numbers that are exchanged in each update."""
    cfg = load_config(ROOT / config, {"model.backbone.init_cfg": None}, tempfile.gettempdir())
    return sum(parameter.numel() for parameter in MODELS.build(cfg.model).parameters() if parameter.requires_grad)


def exchange(rank: int, processes: int, folder: str, sizes: dict[str, int], rounds: int) -> None:
    """Sum so many numbers over the processes, each of ``sizes`` in turns; the first process prints."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=processes)
    times: dict[str, list[float]] = {name: [] for name in sizes}
    for _ in range(rounds + 1):
        for name, size in sizes.items():
            buckets = torch.ones(size).split(BUCKET_BYTES // 4)
            dist.barrier()
            began = time.perf_counter()
            for bucket in buckets:
                dist.all_reduce(bucket)
            times[name].append(time.perf_counter() - began)
    if rank == 0:
        for name, size in sizes.items():
            median = statistics.median(times[name][1:])  # the first one connects
            print(f"{name:14} {size / 1e6:6.1f} M numbers  {4 * size / 1e6:5.0f} MB  {1e3 * median:5.0f} ms")
    dist.destroy_process_group()


def main() -> None:
    """The command."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    sizes = {name: learning_parameters(config) for name, config in CONFIGS.items()}
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(exchange, args=(args.processes, folder, sizes, args.rounds), nprocs=args.processes)


if __name__ == "__main__":
    main()
