"""What the options of train and test make of a config."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from references.tiny import LORS, make_data, write_config

from lors_det import processes
from lors_det.cli import run_command, test, train
from lors_det.errors import InputError
from lors_det.plugin.config.values import check_numbers
from lors_det.plugin.screen.measures import highest_rate
from lors_det.training import launch


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("options")
    return write_config(folder / "tiny.py", make_data(folder / "shapes"))


def train_arguments(config: Path, work_dir: Path, **changes: object) -> Namespace:
    values = dict(config=config, cfg_options=None, work_dir=str(work_dir), launcher="none", local_rank=0)
    unset = dict.fromkeys(("data", "epochs", "batch_size", "image_side", "seed", "load_from", "resume"))
    unset |= dict.fromkeys(("amp", "auto_scale_lr", "resume_anyway", "trust_checkpoint"), False)
    return Namespace(**{**values, **unset, "console": "short", **changes})


@pytest.mark.parametrize(
    ("native", "own"),
    [
        (True, dict(dtype="bfloat16", loss_scale=dict(enabled=False))),
        (False, dict(dtype="float16", loss_scale="dynamic")),
    ],
)
def test_mixed_precision_is_bf16_where_the_hardware_computes_in_it(monkeypatch, native, own):
    # as a T4 answers: it can, by emulation
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or native)
    cfg = Config(dict(optim_wrapper=dict(type="OptimWrapper")))
    launch.use_mixed_precision(cfg)
    assert cfg.optim_wrapper == dict(type="AmpOptimWrapper", **own)
    # the config that a training on another GPU has left
    cfg.optim_wrapper.update(dtype="bfloat16", loss_scale=dict(enabled=False))
    launch.use_mixed_precision(cfg)
    assert cfg.optim_wrapper == dict(type="AmpOptimWrapper", **own)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (dict(amp=True), "--amp.*needs a GPU"),
        (
            dict(cfg_options={"optim_wrapper.type": "AmpOptimWrapper"}),
            r"optim_wrapper\.type is AmpOptimWrapper.*needs a GPU",
        ),
    ],
)
def test_mixed_precision_needs_a_gpu(config, tmp_path, monkeypatch, asked, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=words):
        train.main(train_arguments(config, tmp_path, **asked))


def test_scaling_the_rate_needs_the_batch_that_it_is_for(config, tmp_path):
    path = config.with_name("unscaled.py")
    path.write_text(f'_base_ = ["{config}"]\nauto_scale_lr = dict(_delete_=True)\n')
    with pytest.raises(InputError, match=r"auto_scale_lr\.base_batch_size=16"):
        train.main(train_arguments(path, tmp_path, auto_scale_lr=True))


@pytest.mark.parametrize(("steps", "base"), [(1, 16), (4, 4), (3, 16 / 3)])
def test_the_rate_is_scaled_to_the_batch_of_an_update(steps, base):
    """mmengine compares the batch of a step with it; a run's own config, where it is on, is not scaled again."""
    cfg = Config(dict(auto_scale_lr=dict(base_batch_size=16), optim_wrapper=dict(accumulative_counts=steps)))
    for _ in range(2):
        launch.scale_learning_rate(cfg)
        assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=base)
    check_numbers(cfg)  # as the run's own config is checked when it is read again


@pytest.mark.parametrize(
    ("launcher", "surroundings", "words"),
    [
        ("pytorch", {}, "variable RANK is not set; leave --launcher out, or use tools/dist_train.sh"),
        ("slurm", {}, "variable SLURM_PROCID is not set"),
        ("mpi", {}, "variable OMPI_COMM_WORLD_LOCAL_RANK is not set"),
        ("slurm", dict.fromkeys(launch.SET_BY["slurm"], "0"), "--launcher slurm needs a GPU for each process"),
        ("pytorch", dict.fromkeys(launch.SET_BY["pytorch"], "0"), "sync_bn needs GPUs"),
    ],
)
def test_a_launcher_that_cannot_start_this_process_is_refused(launcher, surroundings, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in (name for names in launch.SET_BY.values() for name in names):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "environ", {**os.environ, **surroundings})
    with pytest.raises(InputError, match=words):
        launch.launch(Config(dict(sync_bn="torch")), launcher, 0)


@pytest.mark.parametrize(
    ("ranks", "is_first"),
    [
        ({}, True),
        ({"RANK": "0", "SLURM_PROCID": "1"}, True),
        ({"RANK": "1", "SLURM_PROCID": "0"}, False),
        ({"SLURM_PROCID": "1"}, False),
        ({"OMPI_COMM_WORLD_RANK": "0", "SLURM_PROCID": "0"}, True),
    ],
)
def test_torchrun_says_which_process_is_the_first_where_slurm_starts_it(ranks, is_first, monkeypatch):
    monkeypatch.setattr(os, "environ", ranks)
    assert processes.is_first_process() == is_first


@pytest.mark.parametrize(
    ("launcher", "environment", "count"),
    [("none", {"WORLD_SIZE": "8"}, 1), ("pytorch", {"WORLD_SIZE": "8", "SLURM_NTASKS": "2"}, 8), ("slurm", {}, 1)],
)
def test_a_launcher_says_how_many_processes_there_are(launcher, environment, count, monkeypatch):
    monkeypatch.setattr(os, "environ", environment)
    assert processes.process_count(launcher) == count


def test_more_processes_than_gpus_are_refused(monkeypatch):
    """CUDA calls it an invalid device ordinal."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    own = {**dict.fromkeys(launch.SET_BY["slurm"], "0"), "SLURM_LOCALID": "3"}
    monkeypatch.setattr(os, "environ", {**os.environ, **own})
    with pytest.raises(InputError, match=r"process 3 of this machine, .* torch sees 1 here; start as many"):
        launch.launch(Config(), "slurm", 0)
    os.environ["SLURM_LOCALID"] = "0"
    launch.launch(Config(), "slurm", 0)


@pytest.mark.parametrize(
    ("count", "steps", "words"),
    [
        (1, 1, ["for batches of 16, and an update of this training has 2 images; --auto-scale-lr scales it"]),
        (4, 1, ["has 8 images, 2 times 4 processes; "]),
        (2, 2, ["has 8 images, 2 times 2 processes times 2 accumulated steps; "]),
        (8, 1, []),
    ],
)
def test_a_rate_for_other_batches_is_told(count, steps, words):
    cfg = Config(
        dict(
            auto_scale_lr=dict(base_batch_size=16),
            optim_wrapper=dict(accumulative_counts=steps),
            train_dataloader=dict(batch_size=2),
        )
    )
    told = list(launch.rate_notes(cfg, count))
    assert len(told) == len(words)
    assert all(word in note for word, note in zip(words, told))
    launch.scale_learning_rate(cfg)
    assert list(launch.rate_notes(cfg, count)) == []


def test_the_home_folder_after_an_equals_sign(monkeypatch):
    """A shell leaves ``--work-dir=~/runs`` as it is, and a folder called ~ is none that anyone wants."""
    monkeypatch.setenv("HOME", "/home/me")
    seen = []

    def add_arguments(parser):
        parser.add_argument("--work-dir")
        parser.add_argument("--out", type=Path)

    command = SimpleNamespace(__doc__="", add_arguments=add_arguments, main=seen.append)
    run_command(command, ["--work-dir=~/a", "--out=~/b"])
    assert (seen[0].work_dir, seen[0].out) == ("/home/me/a", Path("/home/me/b"))


def test_of_many_processes_the_first_tells_all_of_an_error(monkeypatch, capsys):
    """The others may fail by themselves, and say so in a line."""

    def main(args):
        raise InputError("one\ntwo")

    command = SimpleNamespace(__doc__="", add_arguments=lambda parser: None, main=main)
    for rank, words in (("0", "error: one\ntwo\n"), ("3", "error in process 3: one\n")):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit):
            run_command(command, [])
        assert capsys.readouterr().err == words


def test_the_rate_that_is_shown_is_one_that_a_weight_has():
    wrapper = OptimWrapper(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1))
    wrapper.base_param_settings = dict(params=torch.zeros(1), lr=0.4)
    assert wrapper.get_lr()["base_lr"] == [0.4]
    assert highest_rate(SimpleNamespace(optim_wrapper=wrapper)) == 0.1


def test_a_launcher_keeps_what_a_config_says_of_the_model_wrapper(monkeypatch):
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend: None)
    for name in ("LOCAL_RANK", *launch.SET_BY["pytorch"]):
        monkeypatch.setenv(name, "0")
    own = dict(type="MMDistributedDataParallel", static_graph=True)
    cfg = Config(dict(model_wrapper_cfg=own, find_unused_parameters=True))
    launch.launch(cfg, "pytorch", 0)
    assert cfg.model_wrapper_cfg == {
        **own,
        "broadcast_buffers": False,
        "find_unused_parameters": True,
        "device_ids": None,
    }


def test_evaluation_leaves_the_training_config_alone():
    cfg = Config.fromfile(LORS)
    renamed = test.renamed(cfg)
    assert Path(renamed.filename).name == f"{LORS.stem}_test.py"
    assert renamed.to_dict() == cfg.to_dict()


def test_a_batch_larger_than_the_set_trains_nothing_and_says_so(config, tmp_path):
    options = {"train_dataloader.batch_size": 17}
    with pytest.raises(InputError, match=r"16 images of this process are fewer than batch_size=17"):
        train.main(train_arguments(config, tmp_path, cfg_options=options))
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.parametrize("left", ["none", "crowds"])
def test_a_validation_set_without_boxes_is_refused_before_the_first_step(config, tmp_path, left):
    """Of crowds alone COCO's AP is -1, which is no figure."""
    content = json.loads((config.parent / "shapes/annotations/val.json").read_text())
    crowds = [{**each, "iscrowd": 1} for each in content["annotations"]]
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({**content, "annotations": [] if left == "none" else crowds}))
    options = {"val_dataloader.dataset.ann_file": str(empty), "val_evaluator.ann_file": str(empty)}
    with pytest.raises(InputError, match=r"empty\.json has no boxes that count, so nothing can be validated"):
        train.main(train_arguments(config, tmp_path / "run", cfg_options=options))
    assert not list(tmp_path.glob("run/*.pth"))
