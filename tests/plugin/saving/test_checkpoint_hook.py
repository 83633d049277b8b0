"""Checkpoints are whole whenever a run ends, hold what they should, and are written while it goes on."""

from __future__ import annotations

import errno
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner
from references.tiny import runner_of as runner_of_config
from references.tiny import tiny_config

import lors_det
from lors_det.errors import InputError
from lors_det.plugin.saving import checkpoint_hook
from lors_det.plugin.saving.background import BackgroundWriter, Snapshots
from lors_det.plugin.saving.checkpoint_files import CheckpointFile
from lors_det.plugin.saving.checkpoint_hook import SafeCheckpointHook


def runner_of(data: Path, folder: Path, **options: object) -> Runner:
    return runner_of_config(tiny_config(data, folder, **options))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".py"}


def scored(monkeypatch, scores: list[float]) -> None:
    """Let validations give these figures in turn."""
    from mmdet.evaluation import CocoMetric

    turn = iter(scores)
    monkeypatch.setattr(CocoMetric, "compute_metrics", lambda self, results: {"bbox_mAP": next(turn)})


def test_what_is_kept_and_what_it_holds(data, tmp_path, monkeypatch):
    scored(monkeypatch, [0.2, 0.3, 0.1])
    runner = runner_of(data, tmp_path, **{"default_hooks.checkpoint.max_keep_ckpts": 2})
    runner.train()
    assert names(tmp_path) == {"epoch_2.pth", "epoch_3.pth", "best_coco_bbox_mAP_epoch_2.pth", "last_checkpoint"}
    assert Path((tmp_path / "last_checkpoint").read_text()) == tmp_path / "epoch_3.pth"
    last = torch.load(tmp_path / "epoch_3.pth", weights_only=True)
    assert last["meta"]["lors_det_version"] == lors_det.__version__
    assert last["meta"]["dataset_meta"]["classes"][0] == "disc"
    assert last["meta"]["config_data"]["model"]["bbox_head"]["num_queries"] == 8
    assert (last["meta"]["epoch"], last["meta"]["iter"], last["meta"]["epoch_steps"]) == (3, 6, 2)
    assert (last["meta"]["world_size"], last["meta"]["is_validated"]) == (1, True)
    state = runner.model.state_dict()
    assert all(torch.equal(last["state_dict"][name], value.cpu()) for name, value in state.items())
    best = torch.load(tmp_path / "best_coco_bbox_mAP_epoch_2.pth", weights_only=True)
    assert "optimizer" not in best
    assert last["message_hub"]["runtime_info"]["best_score"] == 0.3


def test_a_copy_of_a_run_goes_on_without_touching_the_first(data, tmp_path, monkeypatch):
    scored(monkeypatch, [0.2, 0.1, 0.3])
    runner_of(data, tmp_path / "first", **{"train_cfg.max_epochs": 2}).train()
    best = "best_coco_bbox_mAP_epoch_1.pth"
    assert best in names(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    (tmp_path / "copy/last_checkpoint").write_text(str(tmp_path / "copy/epoch_2.pth"))
    copy = runner_of(data, tmp_path / "copy", resume=True, **{"train_cfg.max_epochs": 3})
    copy.train()
    assert best in names(tmp_path / "first")
    assert {name for name in names(tmp_path / "copy") if "best" in name} == {"best_coco_bbox_mAP_epoch_3.pth"}


def test_a_validation_alone_writes_no_checkpoint(data, tmp_path):
    runner_of(data, tmp_path).val()
    assert not list(tmp_path.rglob("*.pth"))


def test_several_figures_have_a_best_each(data, tmp_path, monkeypatch):
    from mmdet.evaluation import CocoMetric

    turn = iter([(0.2, 0.5), (0.3, 0.4), (0.1, 0.6)])

    def compute(self, results):
        return dict(zip(("bbox_mAP", "bbox_mAP_50"), next(turn)))

    monkeypatch.setattr(CocoMetric, "compute_metrics", compute)
    runner_of(data, tmp_path, **{"default_hooks.checkpoint.save_best": ["coco/bbox_mAP", "coco/bbox_mAP_50"]}).train()
    found = {path.name for path in tmp_path.glob("best_*")}
    assert found == {"best_coco_bbox_mAP_epoch_2.pth", "best_coco_bbox_mAP_50_epoch_3.pth"}


def test_a_figure_that_there_is_not(data, tmp_path):
    options = {"default_hooks.checkpoint.save_best": "coco/bbox_AP", "train_cfg.max_epochs": 1}
    with pytest.raises(InputError, match=r"save_best is coco/bbox_AP, and the validation has coco/bbox_mAP, "):
        runner_of(data, tmp_path, **options).train()


@pytest.mark.parametrize("moment", ["write", "flush", "name", "remove"])
def test_a_run_that_ends_while_it_writes_loses_nothing(tmp_path, monkeypatch, moment):
    """At each step of the writing, what ``last_checkpoint`` names is there and whole."""
    old, new, note = tmp_path / "epoch_1.pth", tmp_path / "epoch_2.pth", tmp_path / "last_checkpoint"
    torch.save({"state_dict": {"epoch": 1}}, old)
    note.write_text(str(old))

    def end(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    place = {
        "write": ("torch.save", end),
        "flush": ("os.fsync", end),
        "name": ("os.replace", end),
        "remove": ("pathlib.Path.unlink", end),
    }
    monkeypatch.setattr(*place[moment])
    file = CheckpointFile(new, {"state_dict": {"epoch": 2}}, note)
    with pytest.raises(KeyboardInterrupt):
        checkpoint_hook.write_all([file], [old])
    monkeypatch.undo()
    named = Path(note.read_text())
    assert torch.load(named, weights_only=True)["state_dict"]["epoch"] == (2 if moment == "remove" else 1)
    assert not list(tmp_path.glob("*.tmp"))


def test_what_a_killed_run_left_half_written_is_removed(data, tmp_path):
    (tmp_path / "epoch_7-abcd_123.tmp").write_bytes(b"half")
    runner_of(data, tmp_path, **{"train_cfg.max_epochs": 1}).train()
    assert not list(tmp_path.glob("*.tmp"))


def test_what_is_still_being_written_is_not_removed(data, tmp_path, monkeypatch):
    """A validation after a training takes a checkpoint, and the training may go on while that is written."""
    runner = runner_of(data, tmp_path, **{"train_cfg.max_epochs": 1})
    runner.train()
    begun, waited_for, write_all = threading.Event(), threading.Event(), checkpoint_hook.write_all
    scratch = tmp_path / "epoch_1-abcd_123.tmp"

    def slowly(*args: object) -> None:
        scratch.write_bytes(b"half")
        begun.set()
        waited_for.wait(10)
        scratch.unlink()  # which has to be there
        write_all(*args)

    wait = BackgroundWriter.wait

    def waiting(writer: BackgroundWriter) -> None:
        waited_for.set()
        wait(writer)

    monkeypatch.setattr(checkpoint_hook, "write_all", slowly)
    runner.val()
    assert begun.wait(10)
    monkeypatch.setattr(BackgroundWriter, "wait", waiting)
    runner.call_hook("before_train")
    assert waited_for.is_set()
    assert not scratch.exists()
    checkpoint_hook.finish_writing(runner)


def test_training_goes_on_while_a_checkpoint_is_written(data, tmp_path, monkeypatch):
    """And what is written is what the weights were when it was taken."""
    go_on, seen, write_all = threading.Event(), [], checkpoint_hook.write_all

    def slowly(files, outdated):
        assert go_on.wait(60)
        write_all(files, outdated)

    monkeypatch.setattr(checkpoint_hook, "write_all", slowly)
    runner = runner_of(data, tmp_path, **{"train_cfg.max_epochs": 2, "train_cfg.val_interval": 2})
    after_iter = SafeCheckpointHook.after_train_iter

    def watch(self, runner, *args, **kwargs):
        after_iter(self, runner, *args, **kwargs)
        if runner.iter == 1:  # the last step of the first epoch
            seen.append({name: value.clone() for name, value in runner.model.state_dict().items()})
        if runner.iter == 2:
            assert not (tmp_path / "epoch_1.pth").exists()
            go_on.set()

    monkeypatch.setattr(SafeCheckpointHook, "after_train_iter", watch)
    runner.train()
    written = torch.load(tmp_path / "epoch_1.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(written[name], value.cpu()) for name, value in seen[0].items())
    assert any(not torch.equal(written[name], value.cpu()) for name, value in runner.model.state_dict().items())


def test_a_disk_that_is_full_ends_the_run(data, tmp_path, monkeypatch):
    def full(files, outdated):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_hook, "write_all", full)
    with pytest.raises(OSError, match="No space left"):
        runner_of(data, tmp_path, **{"train_cfg.max_epochs": 1}).train()


def test_what_is_left_on_a_full_disk_is_named(data, tmp_path, monkeypatch):
    save, written = torch.save, []

    def full(content, file):
        if len(written) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(file)
        save(content, file)

    monkeypatch.setattr(torch, "save", full)
    words = r"epoch_2\.pth cannot be written: No space left on device; mend that, and go on from .*epoch_1\.pth with"
    with pytest.raises(InputError, match=words):
        runner_of(data, tmp_path, **{"train_cfg.max_epochs": 2, "train_cfg.val_interval": 9}).train()
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "epoch_1.pth")


def test_one_job_at_a_time():
    """The next is not even taken while one is unfinished: it would hold a second copy of the weights."""
    writer, go_on, done = BackgroundWriter(), threading.Event(), []
    writer.submit(lambda: done.append(go_on.wait(60)))
    second = threading.Thread(target=writer.submit, args=(lambda: done.append("second"),))
    second.start()
    second.join(0.1)
    assert second.is_alive()
    assert done == []
    go_on.set()
    second.join(60)
    writer.wait()
    assert done == [True, "second"]


def test_a_snapshot_keeps_what_it_was_and_what_was_one_tensor():
    weight = torch.zeros(3)
    value = {"a": [weight, (weight, 1)], "b": {"c": weight[:2]}, "d": torch.zeros(0), "e": "text"}
    copy = Snapshots().take(value)
    weight.fill_(1)
    assert copy["a"][0].tolist() == [0, 0, 0]
    assert copy["a"][0] is copy["a"][1][0]
    assert copy["b"]["c"].tolist() == [0, 0]
    assert (copy["a"][1][1], copy["e"]) == (1, "text")


def test_snapshots_use_their_memory_again_and_grow_with_what_they_hold():
    snapshots, weight = Snapshots(), torch.arange(6.0).view(2, 3)
    first = snapshots.take({"weight": weight, "steps": torch.tensor(1)})["weight"]
    again = snapshots.take({"weight": weight + 1, "steps": torch.tensor(2)})
    assert again["weight"] is first
    assert torch.equal(again["weight"], weight + 1)
    assert again["steps"] == 2
    more = snapshots.take([weight.half(), weight.t(), weight.repeat(2, 1), torch.tensor(3)])
    assert [tensor.dtype for tensor in more] == [torch.float16, torch.float32, torch.float32, torch.int64]
    assert all(torch.equal(*pair) for pair in zip(more, [weight.half(), weight.t(), weight.repeat(2, 1)]))


@pytest.mark.parametrize("options", [{"backend_args": {"backend": "petrel"}}, {"out_dir": "s3://bucket/run"}])
def test_another_place_than_a_folder_is_refused(options):
    with pytest.raises(InputError, match='type="CheckpointHook" writes elsewhere'):
        SafeCheckpointHook(**options)


def test_a_checkpoint_that_was_not_written_is_none(tmp_path):
    """A resumed run in another folder has a name for it before the file is there."""
    hook = checkpoint_hook.SafeCheckpointHook(background=False)
    hook.last_ckpt = str(tmp_path / "epoch_3.pth")
    assert checkpoint_hook.finish_writing(SimpleNamespace(hooks=[hook])) is None


def test_a_run_that_stops_while_a_checkpoint_is_taken_has_the_one_before(data, tmp_path, monkeypatch):
    runner = runner_of(data, tmp_path, **{"train_cfg.max_epochs": 3})
    take = checkpoint_hook.checkpoint_of

    def interrupted(of, meta, **kwargs):
        if meta["epoch"] == 2:
            raise KeyboardInterrupt
        return take(of, meta, **kwargs)

    monkeypatch.setattr(checkpoint_hook, "checkpoint_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert checkpoint_hook.finish_writing(runner) == tmp_path / "epoch_1.pth"
    assert (tmp_path / "epoch_1.pth").is_file()
