"""Resident memory of a training over many steps on tiny images: it must not grow once the run is warm.

python -m trials.memory --steps 2000
"""

from __future__ import annotations

import os
import statistics
import tempfile
from argparse import ArgumentParser
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from lors_det.data.shapes import generate_shapes
from lors_det.plugin.config.reading import load_config

CONFIG = next((Path(__file__).parent.parent / "configs/shapes").glob("lors-adamixer_*.py"))
IMAGES, BATCH = 64, 4
EVERY = 50
WARM_SHARE = 0.2
MOST_GROWTH = 0.02
"""Of the resident memory, from the first readings after the warm-up to the last."""


def resident_bytes() -> int:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class MemoryHook(Hook):
    """Reads the resident memory every so many steps."""

    def __init__(self) -> None:
        self.readings: list[tuple[int, int]] = []

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Of a step."""
        if (runner.iter + 1) % EVERY == 0:
            self.readings.append((runner.iter + 1, resident_bytes()))


def readings(steps: int, folder: Path) -> list[tuple[int, int]]:
    """(step, bytes) of a training with checkpoints each epoch and a validation now and then."""
    generate_shapes(folder / "shapes", num_train=IMAGES, num_val=8, image_size=64)
    epochs = -(-steps * BATCH // IMAGES)
    options = {
        "train_cfg.max_epochs": epochs,
        "train_cfg.val_interval": max(1, epochs // 10),
        "model.bbox_head.num_queries": 8,
        "train_dataloader.batch_size": BATCH,
        "val_evaluator.ann_file": str(folder / "shapes/annotations/val.json"),
        "test_evaluator.ann_file": str(folder / "shapes/annotations/val.json"),
        "log_level": "WARNING",
    }
    for split in ("train", "val", "test"):
        options[f"{split}_dataloader.dataset.data_root"] = f"{folder}/shapes/"
        options[f"{split}_dataloader.num_workers"] = 0
        options[f"{split}_dataloader.persistent_workers"] = False
    runner = Runner.from_cfg(load_config(CONFIG, options, str(folder / "run")))
    hook = MemoryHook()
    runner.register_hook(hook)
    runner.train()
    return hook.readings


def main() -> None:
    """The command.

    Raises:
        SystemExit: with status 1, if the memory grew.
    """
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    args = parser.parse_args()
    if args.steps < 10 * EVERY:
        parser.error(f"--steps is {args.steps}; a trend takes at least {10 * EVERY}")
    with tempfile.TemporaryDirectory() as folder:
        found = readings(args.steps, Path(folder))
    warm = [reading for reading in found if reading[0] >= WARM_SHARE * args.steps]
    few = max(1, len(warm) // 8)
    first, last = (statistics.median(size for _, size in part) / 2**20 for part in (warm[:few], warm[-few:]))
    growth = last / first - 1
    print(
        f"{args.steps} steps: {first:.0f} MiB at step {warm[0][0]}, {last:.0f} MiB at step {warm[-1][0]}: {growth:+.1%}"
    )
    raise SystemExit(growth > MOST_GROWTH)


if __name__ == "__main__":
    main()
