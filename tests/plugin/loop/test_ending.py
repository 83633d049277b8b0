"""SIGTERM ends a training after a step, with a checkpoint of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.hooks import Hook
from mmengine.runner import Runner
from references.loops import BASE, EPOCH_STEPS, EPOCHS, assert_same, run
from references.tiny import LORS, runner_of, tiny_config

from lors_det.errors import Terminated
from lors_det.plugin.loop.ending import AGREED_EVERY, Ending, Outliving, heard_again
from lors_det.plugin.saving.checkpoint_hook import finish_writing

LAST = EPOCH_STEPS * EPOCHS


class TermHook(Hook):
    """Sends SIGTERM to this process and to the workers that load its images, or at an epoch's end."""

    def __init__(self, step: int | None = None, epoch: int | None = None, validation: int | None = None) -> None:
        self.step = step
        self.epoch = epoch
        self.validation = validation

    def before_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        if runner.iter + 1 == self.step:
            workers = [worker.pid for worker in multiprocessing.active_children()]
            # from another process: a worker does end when its parent says so
            subprocess.run(["kill", "-TERM", *map(str, [*workers, os.getpid()])], check=True)

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch + 1 == self.epoch:
            os.kill(os.getpid(), signal.SIGTERM)

    def before_val_epoch(self, runner: Runner) -> None:
        if runner.epoch == self.validation:
            os.kill(os.getpid(), signal.SIGTERM)


class NoteHook(Hook):
    """Notes the epochs that are validated."""

    def __init__(self, epochs: list[int]) -> None:
        self.epochs = epochs

    def before_val_epoch(self, runner: Runner) -> None:
        self.epochs.append(runner.epoch)


def end(data: Path, folder: Path, hook: TermHook, **options: object) -> Runner:
    """A training until it ends for SIGTERM."""
    runner = runner_of(tiny_config(data, folder, LORS, **{**BASE, **options}))
    runner.register_hook(hook)
    with pytest.raises(Terminated):
        runner.train()
    os.kill(os.getpid(), signal.SIGTERM)  # as torchrun does once more, while the checkpoint is written
    finish_writing(runner)
    heard_again()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    return runner


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Runner:
    return run(data, tmp_path_factory.mktemp("whole"))


# in the middle of an epoch, at its last step, and at the last of all
@pytest.mark.parametrize(("step", "workers"), [(6, 2), (EPOCH_STEPS, 0), (LAST, 0)])
@pytest.mark.parametrize("by_epoch", [True, False])
def test_nothing_is_lost(data, whole, tmp_path, step, workers, by_epoch):
    options = {"train_cfg.val_interval": 1}
    for split in ("train", "val"):  # of validations, they wait for the next one
        options |= {f"{split}_dataloader.num_workers": workers, f"{split}_dataloader.persistent_workers": workers > 0}
    if not by_epoch:
        options |= {"default_hooks.checkpoint.by_epoch": False, "default_hooks.checkpoint.interval": 3}
    assert end(data, tmp_path, TermHook(step), **options).iter == step
    written = tmp_path / f"iter_{step}.pth"
    assert (tmp_path / "last_checkpoint").read_text() == str(written)
    assert_same(run(data, tmp_path, resume=True, **options), whole)
    if by_epoch:  # kept by mmengine's rule alone, that of epochs
        assert not written.exists()


def test_again_and_again(data, whole, tmp_path):
    for step in (2, 3, 7):
        end(data, tmp_path, TermHook(step), resume=step > 2)
        assert [path.name for path in tmp_path.glob("iter_*.pth")] == [f"iter_{step}.pth"]
    assert_same(run(data, tmp_path, resume=True), whole)


RARELY = {"default_hooks.checkpoint.interval": 2}
BY_STEPS = {"default_hooks.checkpoint.by_epoch": False, "default_hooks.checkpoint.interval": 500}


# a validation ends at once where its epoch's checkpoint is there; an epoch's checkpoint is written whole
@pytest.mark.parametrize(
    ("moment", "checkpoints", "written", "validated"),
    [
        ("validation", {}, "epoch_1", [1, 2, 3]),
        ("validation", RARELY, f"iter_{EPOCH_STEPS}", [2, 3]),
        ("validation", BY_STEPS, f"iter_{EPOCH_STEPS}", [2, 3]),
        ("epoch", {}, "epoch_1", [1, 2, 3]),
        ("epoch", RARELY, f"iter_{EPOCH_STEPS}", [1, 2, 3]),
        ("epoch", BY_STEPS, f"iter_{EPOCH_STEPS}", [1, 2, 3]),
    ],
)
def test_at_an_epochs_end(data, whole, tmp_path, moment, checkpoints, written, validated):
    options = {"train_cfg.val_interval": 1, **checkpoints}
    assert end(data, tmp_path, TermHook(**{moment: 1}), **options).epoch == 1
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / f"{written}.pth")
    epochs: list[int] = []
    assert_same(run(data, tmp_path, hook=NoteHook(epochs), resume=True, **options), whole)
    assert epochs == validated


def test_a_handler_of_ones_own_is_kept():
    heard = []
    former = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with Ending().heard():
            os.kill(os.getpid(), signal.SIGTERM)
        assert heard == [1]
    finally:
        signal.signal(signal.SIGTERM, former)


def wait(begin: Outliving, started: Event) -> None:
    begin(0)
    started.set()
    time.sleep(300)


def test_a_worker_ends_at_its_parents_word_alone():
    context = multiprocessing.get_context("fork")
    started = context.Event()
    worker = context.Process(target=wait, args=(Outliving(None), started), daemon=True)
    worker.start()
    assert started.wait(60)
    other = context.Process(target=os.kill, args=(worker.pid, signal.SIGTERM))
    other.start()
    other.join(60)
    worker.join(0.5)
    assert other.exitcode == 0
    assert worker.is_alive()
    worker.terminate()
    worker.join(60)
    assert worker.exitcode == 0


def agree(rank: int, folder: Path) -> None:
    """Steps of two processes, of which the second alone is asked to end, after a first agreement; writes how many."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    ending, steps = Ending(), 0
    with ending.heard():
        while steps < 3 * AGREED_EVERY and not (steps and ending.is_due(steps)):
            steps += 1
            if rank == 1 and steps == AGREED_EVERY + 2:
                os.kill(os.getpid(), signal.SIGTERM)
    (folder / f"{rank}.json").write_text(json.dumps(steps))
    dist.destroy_process_group()


def test_processes_end_after_the_same_step(tmp_path):
    mp.spawn(agree, (tmp_path,), nprocs=2)
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)] == [2 * AGREED_EVERY] * 2
