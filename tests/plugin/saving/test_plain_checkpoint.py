"""Checkpoints are plain data, and fit their model."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import find_latest_checkpoint
from mmengine.runner.checkpoint import _load_checkpoint
from references.hostile import Hostile
from references.tiny import ADAMIXER, runner_of, tiny_config

from lors_det.errors import InputError


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    """The work dir of a run of two epochs."""
    work_dir = tmp_path_factory.mktemp("run")
    runner_of(tiny_config(data, work_dir, **{"train_cfg.max_epochs": 2})).train()
    return work_dir


def test_a_checkpoint_is_plain_data_and_resumes(data, trained):
    path = find_latest_checkpoint(str(trained))
    content = torch.load(path, weights_only=True)
    assert content["meta"]["epoch"] == 2
    assert content["optimizer"]["state"]
    assert content["meta"]["dataset_meta"]["classes"][0] == "disc"
    assert content["meta"]["config_data"]["model"]["bbox_head"]["num_queries"] == 8
    assert "cfg" not in content["meta"]  # the same as text, to be run

    runner = runner_of(tiny_config(data, trained, resume=True))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.load_or_resume()
    assert (runner.epoch, runner.iter) == (2, 4)
    losses = runner.message_hub.get_scalar("train/loss")
    assert isinstance(losses, HistoryBuffer)
    assert len(losses.data[0]) == 4
    for name, value in runner.model.state_dict().items():
        assert torch.equal(value.cpu(), content["state_dict"][name])


def test_a_checkpoint_of_another_model_is_refused(data, trained, tmp_path):
    path = find_latest_checkpoint(str(trained))
    with pytest.raises(
        InputError, match=r"another model .* missing: .*stages\.0\.mixing\.channel\.weight.* unexpected"
    ):
        runner_of(tiny_config(data, tmp_path, ADAMIXER, load_from=path)).test()
    with pytest.raises(InputError, match=r"of another shape: bbox_head\.queries\.content"):
        runner_of(tiny_config(data, tmp_path, load_from=path, **{"model.bbox_head.num_queries": 5})).test()


def test_a_checkpoint_of_other_classes_is_refused(data, trained, tmp_path):
    path = find_latest_checkpoint(str(trained))
    content = torch.load(path, weights_only=True)
    content["meta"]["dataset_meta"]["classes"] = ("square", "disc", "triangle", "star", "cross", "ring")
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"knows the classes square, disc, .* and .* has disc, square,"):
        runner_of(tiny_config(data, tmp_path, load_from=str(tmp_path / "other.pth"))).test()


def test_weights_alone_are_evaluated_and_not_resumed(data, trained, tmp_path):
    path = str(tmp_path / "weights.pth")
    torch.save(torch.load(find_latest_checkpoint(str(trained)), weights_only=True)["state_dict"], path)
    assert runner_of(tiny_config(data, tmp_path, load_from=path)).test()
    mean = [dict(type="EMAHook")]  # which looks for them where a checkpoint has them
    assert runner_of(tiny_config(data, tmp_path, load_from=path, custom_hooks=mean)).test()
    with pytest.raises(InputError, match="weights alone"):
        runner_of(tiny_config(data, tmp_path, load_from=path, resume=True)).train()


def test_fine_tuning_takes_what_fits(data, trained, tmp_path):
    path = find_latest_checkpoint(str(trained))
    runner = runner_of(tiny_config(data, tmp_path, load_from=path, **{"model.bbox_head.num_queries": 5}))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.load_or_resume()
    name = "bbox_head.decoder.stack.bases.0.mixing.out.weight"
    after = runner.model.state_dict()
    assert torch.equal(after[name].cpu(), torch.load(path, weights_only=True)["state_dict"][name])
    content = "bbox_head.queries.content"
    assert torch.equal(after[content], before[content])


def test_files_that_are_no_checkpoint(trained, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        _load_checkpoint(str(tmp_path / "none.pth"))
    for name in ("best_mAP_epoch_12.pth", "epoch_14.pth"):
        (tmp_path / name).touch()
    with pytest.raises(
        InputError, match=r"best_mAP_epoch_3\.pth does not exist; its folder has best_mAP_epoch_12\.pth$"
    ):
        _load_checkpoint(str(tmp_path / "best_mAP_epoch_3.pth"))
    torch.save({"state_dict": Hostile(tmp_path / "harmed")}, tmp_path / "hostile.pth")
    with pytest.raises(InputError, match="more than plain data"):
        _load_checkpoint(str(tmp_path / "hostile.pth"))
    (tmp_path / "text.pth").write_text("not a checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("text.pth", "list.pth"):
        with pytest.raises(InputError, match=name):
            _load_checkpoint(str(tmp_path / name))
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Hostile(tmp_path / "harmed")))
    with pytest.raises(InputError, match=r"old\.pth"):
        _load_checkpoint(str(tmp_path / "old.pth"))
    assert not (tmp_path / "harmed").exists()
    whole = Path(find_latest_checkpoint(str(trained))).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.pth cannot be read .* may be truncated"):
        _load_checkpoint(str(tmp_path / "cut.pth"))


class Camera:
    """Of some user's code."""


def test_what_is_no_plain_data_in_the_message_hub_is_left_out_and_named(data, tmp_path, capfd):
    runner = runner_of(tiny_config(data, tmp_path, **{"train_cfg.max_epochs": 2, "train_cfg.val_interval": 2}))
    runner.message_hub.update_info("my_camera", Camera())
    runner.message_hub.update_info("my_number", np.int64(7))
    runner.train()
    content = torch.load(find_latest_checkpoint(str(tmp_path)), weights_only=True)
    assert content["message_hub"]["runtime_info"]["my_number"] == 7
    assert "my_camera" not in content["message_hub"]["runtime_info"]
    log = "".join(capfd.readouterr())
    assert log.count("runtime_info.my_camera is a Camera") == 1  # not at every save


def test_a_legitimate_resume_does_not_warn(data, trained, tmp_path, capfd):
    work_dir = tmp_path / "run"
    shutil.copytree(trained, work_dir)
    (work_dir / "last_checkpoint").write_text(str(work_dir / "epoch_2.pth"))
    runner_of(tiny_config(data, work_dir, resume=True)).train()
    log = "".join(capfd.readouterr())
    assert "resumed epoch: 2" in log
    assert "metainfo from the resumed checkpoint is different" not in log


def test_concatenated_sets_are_evaluated_and_resumed(data, trained, tmp_path):
    options = {}
    for split in ("train", "val", "test"):
        dataset = tiny_config(data, tmp_path)[f"{split}_dataloader"].dataset
        options[f"{split}_dataloader.dataset"] = dict(_delete_=True, type="ConcatDataset", datasets=[dataset])
    path = find_latest_checkpoint(str(trained))
    assert runner_of(tiny_config(data, tmp_path, load_from=path, **options)).test()
    other = torch.load(path, weights_only=True)
    other["meta"]["dataset_meta"]["classes"] = ("square", "disc", "triangle", "star", "cross", "ring")
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"knows the classes square, disc, .* and \S*val\.json has disc, square,"):
        runner_of(tiny_config(data, tmp_path, load_from=str(tmp_path / "other.pth"), **options)).test()


def test_weights_of_a_wrapped_model_are_taken(data, trained, tmp_path):
    content = torch.load(find_latest_checkpoint(str(trained)), weights_only=True)
    content["state_dict"] = {f"module.{name}": weight for name, weight in content["state_dict"].items()}
    torch.save(content, tmp_path / "wrapped.pth")
    runner = runner_of(tiny_config(data, tmp_path, load_from=str(tmp_path / "wrapped.pth")))
    assert runner.test()
    for name, value in runner.model.state_dict().items():
        assert torch.equal(value.cpu(), content["state_dict"][f"module.{name}"])


def test_an_ema_in_custom_hooks_leaves_a_run_safe(data, tmp_path):
    own = [dict(type="EMAHook", momentum=0.1)]
    options = {"custom_hooks": own, "train_cfg.val_interval": 2}
    runner_of(tiny_config(data, tmp_path, **options, **{"train_cfg.max_epochs": 2})).train()
    path = find_latest_checkpoint(str(tmp_path))
    content = torch.load(path, weights_only=True, map_location="cpu")  # the average is kept where it was
    assert any(
        not torch.equal(content["state_dict"][name], content["ema_state_dict"][f"module.{name}"])
        for name in content["state_dict"]
    )
    assert runner_of(tiny_config(data, tmp_path, load_from=path)).test()
    resumed = runner_of(tiny_config(data, tmp_path, resume=True, **options, **{"train_cfg.max_epochs": 4}))
    resumed.train()
    assert resumed.iter == 8


def test_a_folder_is_no_checkpoint(trained, tmp_path):
    with pytest.raises(InputError, match=r"is a folder; name the file, for example .*epoch_2\.pth"):
        _load_checkpoint(str(trained))
    with pytest.raises(InputError, match="is a folder; it holds no checkpoint file"):
        _load_checkpoint(str(tmp_path))


def test_groups_of_single_parameters_are_resumed_as_merged_ones(data, tmp_path):
    """As checkpoints of mmengine's own constructor have them."""
    no_decay = {"optim_wrapper.paramwise_cfg": dict(norm_decay_mult=0.0), "train_cfg.val_interval": 2}
    runner_of(tiny_config(data, tmp_path, **no_decay, **{"train_cfg.max_epochs": 1})).train()
    saved = torch.load(find_latest_checkpoint(str(tmp_path)), weights_only=True)["optimizer"]
    merged = {"optim_wrapper.constructor": "MergedOptimWrapperConstructor"}
    runner = runner_of(tiny_config(data, tmp_path, resume=True, **no_decay, **merged, **{"train_cfg.max_epochs": 2}))
    runner.train()
    assert runner.iter == 4
    groups = runner.optim_wrapper.optimizer.param_groups
    assert len(saved["param_groups"]) > 100
    assert sorted(group["weight_decay"] for group in groups) == [0, 0.01]
    assert {int(state["step"]) for state in runner.optim_wrapper.optimizer.state.values()} == {4}
