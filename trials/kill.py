"""Kill a training at random moments, the writing of a checkpoint among them, and resume it each time.

python -m trials.kill --kills 20
python -m trials.kill --kills 20 --workers 2

After each kill, the checkpoint that the work dir names is whole, and none is lost but the one that was being written;
in the end, the weights are those of a run that was never killed, to the bit.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lors_det.data.shapes import generate_shapes

ROOT = Path(__file__).parent.parent
CONFIG = "configs/shapes/lors-adamixer_r18-half_16-query_5e_shapes.py"
EPOCHS, EPOCH_STEPS = 4, 8
KEPT = 3
LONGEST_S = 300.0


def command(data: Path, work_dir: Path, workers: int) -> list[str]:
    """A training of 32 steps with a checkpoint every second, which goes on from the last one if there is one."""
    options = {
        "randomness.seed": 0,
        "train_cfg.val_interval": 1,
        "model.bbox_head.num_queries": 8,
        "train_dataloader.num_workers": workers,
        "train_dataloader.persistent_workers": workers > 0,
        "val_dataloader.num_workers": 0,
        "val_dataloader.persistent_workers": False,
        "default_hooks.checkpoint.by_epoch": False,
        "default_hooks.checkpoint.interval": 2,
        "default_hooks.checkpoint.max_keep_ckpts": KEPT,
    }
    given = [f"{key}={value}" for key, value in options.items()]
    flags = ["--data", str(data), "--work-dir", str(work_dir), "--epochs", str(EPOCHS), "--batch-size", "4", "--resume"]
    return [sys.executable, "-m", "lors_det", "train", str(data / "config.py"), *flags, "--cfg-options", *given]


def start(data: Path, work_dir: Path, workers: int) -> subprocess.Popen[bytes]:
    """The training as a process group of its own, which says what it says in a log beside the work dir."""
    work_dir.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with Path(f"{work_dir}.log").open("ab") as log:
        return subprocess.Popen(
            command(data, work_dir, workers), stdout=log, stderr=log, env=env, cwd=ROOT, start_new_session=True
        )


def run_to_end(data: Path, work_dir: Path, workers: int) -> Path:
    """Train, or go on, until nothing is left; returns the last checkpoint."""
    process = start(data, work_dir, workers)
    if process.wait(LONGEST_S):
        raise AssertionError(f"a run that was resumed failed: see {work_dir}.log")
    return Path((work_dir / "last_checkpoint").read_text())


def run_and_kill(data: Path, work_dir: Path, workers: int, is_time: Callable[[float], bool]) -> bool:
    """Train, or go on, until ``is_time``, which is asked with the seconds since the start; whether it came so far."""
    process, began = start(data, work_dir, workers), time.monotonic()
    while process.poll() is None:
        if is_time(time.monotonic() - began):
            os.killpg(process.pid, signal.SIGKILL)  # workers that load images too
            process.wait()
            return True
        time.sleep(0.0005)
    if process.returncode:
        raise AssertionError(f"a run that was resumed failed: see {work_dir}.log")
    return False


def check_nothing_lost(work_dir: Path, before: set[str]) -> set[str]:
    """Every checkpoint there is whole, and of those before, only older ones are gone; returns their names."""
    paths = {path.name: path for path in work_dir.glob("iter_*.pth")}
    for name, path in paths.items():
        if torch.load(path, weights_only=True)["meta"]["iter"] != step_of(name):
            raise AssertionError(f"{path} is of another step than its name says")
    found, note = set(paths), work_dir / "last_checkpoint"
    if note.is_file() and Path(note.read_text()).name not in found:
        raise AssertionError(f"last_checkpoint names {note.read_text()}, which is not there")
    gone, newer = before - found, len(found - before)
    if len(gone) > newer or (gone and max(map(step_of, gone)) > min(map(step_of, found))):
        raise AssertionError(f"{gone} are gone, {found} are left, of which {newer} are new")
    return found


def step_of(name: str) -> int:
    """Of ``iter_12.pth``, 12."""
    return int(Path(name).stem.removeprefix("iter_"))


def until_written(work_dir: Path, times: int) -> Callable[[float], bool]:
    """When a checkpoint is being written for the so-manieth time."""
    seen: set[Path] = set()

    def is_time(since: float) -> bool:
        seen.update(work_dir.glob("iter_*.tmp"))
        return len(seen) >= times

    return is_time


def check_end(work_dir: Path, last: Path, whole: dict[str, Any]) -> None:
    """The weights are those of an undisturbed run, to the bit, and so is their mean."""
    ended = torch.load(last, weights_only=True)
    for part in ("state_dict", "ema_state_dict"):
        differ = [name for name, value in whole[part].items() if not torch.equal(value, ended[part][name])]
        if differ:
            raise AssertionError(f"{work_dir}: these weights differ from those of an undisturbed run: {differ}")


def try_kills(folder: Path, kills: int, seed: int, workers: int = 0, longest_s: float = 14.0) -> Counter[str]:
    """Kill runs so many times in all, a third of them inside the writing of a checkpoint, and compare the ends.

    Returns:
        How many kills came at which moments, and how many runs ended.
    """
    data, draw, counts = folder / "shapes", random.Random(seed), Counter[str]()
    generate_shapes(data, num_train=4 * EPOCH_STEPS, num_val=8, image_size=64)
    (data / "config.py").write_text(
        f'_base_ = ["{ROOT / CONFIG}"]\ncustom_hooks = [dict(type="EMAHook", momentum=0.3)]\n'
    )
    whole = torch.load(run_to_end(data, folder / "whole", workers), weights_only=True)
    for number in itertools.count():
        work_dir, names = folder / f"killed{number}", set[str]()
        while counts["kills"] < kills:
            if 3 * counts["of them inside the writing of a checkpoint"] <= counts["kills"]:  # one may come too late
                is_time = until_written(work_dir, draw.randint(1, 3))
            else:
                is_time = draw.uniform(0, longest_s).__lt__
            if not run_and_kill(data, work_dir, workers, is_time):
                break
            counts["kills"] += 1
            half = [*work_dir.glob("*.tmp")]
            counts["of them inside the writing of a checkpoint"] += bool(half)
            for path in half:  # so that it is not counted again, should the next start be killed early
                path.unlink()
            names = check_nothing_lost(work_dir, names) if work_dir.is_dir() else names
        check_end(work_dir, run_to_end(data, work_dir, workers), whole)
        counts["runs that ended with the weights of an undisturbed one"] += 1
        if counts["kills"] >= kills:
            return counts
    raise AssertionError("unreachable")


def main() -> None:
    """The command."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=0, help="processes that load images")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            counts = try_kills(Path(folder), args.kills, args.seed, args.workers)
        except AssertionError:
            for log in sorted(Path(folder).glob("*.log")):
                print(f"== {log.name}", *log.read_text().splitlines()[-15:], sep="\n", file=sys.stderr)
            raise
    for words, count in counts.items():
        print(f"{count:4} {words}")


if __name__ == "__main__":
    main()
