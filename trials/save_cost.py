"""What a checkpoint of the published model costs the training that writes it, and how long the writing takes.

python -m trials.save_cost

The training waits for the copy of the tensors alone; the file is written in the background, flushed and renamed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

import torch
from mmdet.registry import MODELS

from lors_det.plugin.config.reading import load_config
from lors_det.plugin.saving.background import BackgroundWriter, Snapshots
from lors_det.plugin.saving.checkpoint_files import CheckpointFile, write_all

CONFIG = Path(__file__).parent.parent / "configs/lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py"
MOST_SHARE = 0.05


def main() -> None:
    """The command.

    Raises:
        SystemExit: with status 1, if a training waits for more than 5 % of what a save takes.
    """
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    cfg = load_config(CONFIG, {"model.backbone.init_cfg": None}, tempfile.gettempdir())
    model = MODELS.build(cfg.model)
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    writer, snapshots, waits, wholes = BackgroundWriter(), Snapshots(), [], []
    with tempfile.TemporaryDirectory(dir=".") as folder:  # on the disk, and not where /tmp may be
        for number in range(args.rounds + 1):
            began = time.perf_counter()
            content = snapshots.take({"state_dict": model.state_dict(), "optimizer": optimizer.state_dict()})
            file = CheckpointFile(Path(folder, f"epoch_{number % 2}.pth"), content)
            writer.submit(lambda file=file: write_all([file], []))  # type: ignore[misc]
            waits.append(time.perf_counter() - began)
            writer.wait()
            wholes.append(time.perf_counter() - began)
        size = file.path.stat().st_size
    wait, whole = statistics.median(waits[1:]), statistics.median(wholes[1:])
    print(f"{size / 1e6:.0f} MB: training waits {1e3 * wait:.0f} ms of {1e3 * whole:.0f} ms, {wait / whole:.1%}")
    raise SystemExit(wait > MOST_SHARE * whole)


if __name__ == "__main__":
    main()
