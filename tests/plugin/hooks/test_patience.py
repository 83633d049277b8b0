"""Training ends when validations gain nothing; evaluations do not need the training set."""

from __future__ import annotations

import pytest
import torch
from mmengine.runner import find_latest_checkpoint
from references.tiny import runner_of, tiny_config

from lors_det.errors import InputError
from lors_det.plugin.hooks.patience import standing

PATIENCE = dict(type="PatienceHook", patience=2, min_gain=0.9)


@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory):
    """A run of at most ten epochs; no validation can gain 0.9."""
    work_dir = tmp_path_factory.mktemp("run")
    runner = runner_of(tiny_config(data, work_dir, custom_hooks=[PATIENCE], **{"train_cfg.max_epochs": 10}))
    runner.train()
    return work_dir, runner.epoch


def test_it_stops_after_so_many_validations_without_a_gain(stopped):
    assert stopped[1] == 3  # the first is the best, and two more do not better it


def test_a_run_that_was_stopped_trains_no_step_and_says_what_would_go_on(data, stopped, tmp_path):
    last = find_latest_checkpoint(str(stopped[0]))
    for patience, epochs in ((1, 3), (2, 3), (3, 4)):
        hook = {**PATIENCE, "patience": patience}
        cfg = tiny_config(data, tmp_path / str(patience), custom_hooks=[hook], **{"train_cfg.max_epochs": 4})
        cfg.load_from, cfg.resume = last, True
        runner = runner_of(cfg)
        runner.train()
        assert runner.epoch == epochs
        said = "".join(path.read_text() for path in (tmp_path / str(patience)).rglob("*.log"))
        assert ("a patience of more than 2 goes on, that of PatienceHook" in said) == (patience < 3)


def test_a_test_builds_no_training_set(data, stopped, tmp_path):
    gone = {"train_dataloader.dataset.ann_file": "annotations/gone.json"}
    cfg = tiny_config(
        data, tmp_path, custom_hooks=[PATIENCE], load_from=find_latest_checkpoint(str(stopped[0])), **gone
    )
    assert "coco/bbox_mAP" in runner_of(cfg).test()


@pytest.mark.parametrize("hook", [PATIENCE, dict(type="EarlyStoppingHook", monitor="coco/bbox_mAP")])
def test_a_test_takes_no_checkpoint_of_other_classes(data, stopped, tmp_path, hook):
    """Whatever a hook builds of a training: class heads are made anew for fine-tuning alone."""
    trained = torch.load(find_latest_checkpoint(str(stopped[0])), weights_only=True)
    trained["meta"]["dataset_meta"]["classes"] = ("other", *trained["meta"]["dataset_meta"]["classes"][1:])
    torch.save(trained, tmp_path / "other.pth")
    cfg = tiny_config(data, tmp_path, custom_hooks=[hook], load_from=str(tmp_path / "other.pth"))
    with pytest.raises(InputError, match="knows the classes other, square"):
        runner_of(cfg).test()


@pytest.mark.parametrize(
    ("scores", "min_gain", "waited"),
    [
        ([], 0.0, 0),
        ([0.22, 0.26, 0.28, 0.295, 0.305, 0.315], 0.0, 0),  # a rise, however slow, goes on
        ([0.22, 0.26, 0.28, 0.295, 0.305, 0.315], 0.1, 5),
        ([0.3, 0.2, 0.29, 0.3], 0.0, 3),
        ([0.3, 0.2, 0.31, 0.2], 0.0, 1),
        ([float("nan"), 0.1], 0.0, 0),
        ([0.0, float("nan"), float("nan")], 0.0, 2),
    ],
)
def test_how_long_it_has_waited(scores, min_gain, waited):
    assert standing(scores, min_gain)[1] == waited


def test_a_resumed_run_remembers(data, stopped, tmp_path, capfd):
    """All validations: its last checkpoint was written again after the last of them."""
    options = {"train_cfg.max_epochs": 10, "resume": True, "load_from": find_latest_checkpoint(str(stopped[0]))}
    runner = runner_of(tiny_config(data, tmp_path, custom_hooks=[PATIENCE], **options))
    runner.train()
    assert runner.epoch == 3
    assert "stopped after epoch 3 of 10: no gain in 2 validations" in "".join(capfd.readouterr())


def test_a_training_by_iterations_is_told_of_by_its_steps(data, tmp_path):
    changes = {
        "train_cfg": dict(type="IterBasedTrainLoop", max_iters=10, val_interval=1),
        "param_scheduler": [dict(type="MultiStepLR", by_epoch=False, milestones=[6])],
        "default_hooks.checkpoint": dict(type="SafeCheckpointHook", by_epoch=False, interval=10),
        "default_hooks.logger.log_metric_by_epoch": False,
        "log_processor.by_epoch": False,
    }
    cfg = tiny_config(data, tmp_path, custom_hooks=[PATIENCE])
    cfg.train_cfg = changes.pop("train_cfg")  # in place of a training by epochs
    cfg.merge_from_dict(changes)
    runner_of(cfg).train()
    said = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "stopped after step 3 of 10: no gain in 2 validations" in said


def test_a_figure_that_there_is_not(data, tmp_path):
    hook = {**PATIENCE, "monitor": "coco/bbox_AP"}
    with pytest.raises(InputError, match=r"waits for coco/bbox_AP, and the validation has coco/bbox_mAP"):
        runner_of(tiny_config(data, tmp_path, custom_hooks=[hook])).train()
