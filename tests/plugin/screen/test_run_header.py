"""The rows before the first step: in whole words, and no wider than a page."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from mmengine.runner import EpochBasedTrainLoop, Runner
from references.tiny import tiny_config

import lors_det.plugin  # noqa: F401  (registers what the config names)
from lors_det.plugin.screen.header import _images, _place, _schedule
from lors_det.plugin.screen.header import test_rows as evaluation_rows
from lors_det.plugin.screen.screens import HEADER_WIDTH, PlainScreen


def loader(length: int) -> SimpleNamespace:
    class Sized(SimpleNamespace):
        def __len__(self) -> int:
            return length

    return Sized(batch_size=4, dataset=[None] * length)


def test_one_is_one():
    loop = object.__new__(EpochBasedTrainLoop)
    for number, words in ((1, "1 epoch of 1 step, batch 4"), (2, "2 epochs of 2 steps, batch 4")):
        loop._max_epochs, loop.dataloader = number, loader(number)
        runner = SimpleNamespace(train_loop=loop, world_size=1, optim_wrapper=None)
        assert _schedule(runner) == words
    assert [_images("val", loader(number)) for number in (1, 2)] == ["val 1 image", "val 2 images"]


def test_a_resumed_run_tells_its_place():
    loop = object.__new__(EpochBasedTrainLoop)
    loop.dataloader = loader(6)
    for step, epoch, words in ((6, 1, ", epoch 1"), (8, 1, ", 2 of epoch 2"), (3, 0, ", 3 of epoch 1")):
        assert _place(SimpleNamespace(train_loop=loop, iter=step, epoch=epoch)) == words
    assert _place(SimpleNamespace(train_loop=None, iter=3, epoch=0)) == ""


def test_a_test_of_the_validations_own_images_says_so(data, tmp_path):
    cfg = tiny_config(data, tmp_path / "run")
    cfg.experiment_name = tmp_path.name
    rows = evaluation_rows(Runner.from_cfg(cfg))
    assert "chooses its best checkpoint" in rows["split"]
    cfg.test_dataloader.dataset.ann_file = str(Path(cfg.train_dataloader.dataset.ann_file))
    cfg.experiment_name += "_other"
    assert "split" not in evaluation_rows(Runner.from_cfg(cfg))


def test_long_rows_go_on_below(capsys):
    path = "/".join(["folder"] * 30)
    words = "LORSAdaMixer, 123.45 M parameters; decoder 100.12 M, 6 stages on 1 set of weights, 100 queries, in all"
    PlainScreen(quiet=False).header("title", {"model": words, "work dir": path, "log": "short"})
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "title"
    assert max(len(line) for line in lines if path not in line) <= HEADER_WIDTH
    assert "".join(lines).count(path) == 1
    assert " ".join(" ".join(lines).split()) == f"model {words} work dir {path} log short"
    assert lines[1].startswith(" " * 12)
