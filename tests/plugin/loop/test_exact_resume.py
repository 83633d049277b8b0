"""A run that is resumed ends with the weights of one that was never interrupted, to the bit."""

from __future__ import annotations

import shutil

import pytest
import torch
from mmengine.runner import Runner
from references.loops import BASE, EPOCH_STEPS, EPOCHS, EVERY_STEP, KillHook, assert_same, run
from references.tiny import ADAMIXER, runner_of, tiny_config

from lors_det.plugin.loop.train_loop import ExactTrainLoop


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Runner:
    return run(data, tmp_path_factory.mktemp("whole"), **EVERY_STEP)


# in the middle of the first epoch, at its last step, at the first of the next one, and before the last of all
@pytest.mark.parametrize(
    ("step", "workers"), [(2, 2), (EPOCH_STEPS, 0), (EPOCH_STEPS + 1, 2), (EPOCH_STEPS * EPOCHS - 1, 0)]
)
def test_at_any_step_and_with_any_number_of_workers(data, whole, tmp_path, step, workers):
    options = {**EVERY_STEP, "train_dataloader.num_workers": workers}
    run(data, tmp_path, KillHook(step), **options)
    assert_same(run(data, tmp_path, resume=True, **options), whole)


def test_again_and_again(data, whole, tmp_path):
    for step in (1, 6, 7):
        run(data, tmp_path, KillHook(step), resume=True, **EVERY_STEP)
    assert_same(run(data, tmp_path, resume=True, **EVERY_STEP), whole)


def test_how_often_checkpoints_are_written_changes_nothing(data, whole, tmp_path):
    assert_same(run(data, tmp_path), whole)


def test_from_an_epochs_beginning(data, whole, tmp_path):
    run(data, tmp_path, KillHook(EPOCH_STEPS + 3))
    assert_same(run(data, tmp_path, resume=True), whole)


def test_a_model_that_shares_nothing(data, tmp_path):
    whole = run(data, tmp_path / "whole", config=ADAMIXER, **EVERY_STEP)
    run(data, tmp_path / "run", KillHook(6), config=ADAMIXER, **EVERY_STEP)
    assert_same(run(data, tmp_path / "run", config=ADAMIXER, resume=True, **EVERY_STEP), whole)


def test_a_recipe_that_draws_and_recollects(data, tmp_path):
    """Denoising queries and noise between stages draw in every step; the mean of the weights is kept beside."""
    head = "model.bbox_head."
    recipe = {
        f"{head}denoising": dict(num_groups=2),
        f"{head}criterion": dict(class_loss="matchability", queries_per_object=(3, 2, 1, 1)),
        f"{head}decoder.recollect_from": 2,
        f"{head}decoder.look_forward_twice": True,
        f"{head}decoder.query_noise": 0.1,
        f"{head}decoder.residual_gain": True,
        "optim_wrapper.constructor": "MergedOptimWrapperConstructor",
        "optim_wrapper.paramwise_cfg": dict(sharing=dict(base_lr="1/users", residual_decay=0.0)),
        "custom_hooks": [dict(type="EMAHook", momentum=0.3)],
        **EVERY_STEP,
    }
    whole = run(data, tmp_path / "whole", **recipe)
    assert "train/s3.dn_loss_iou" in whole.message_hub.log_scalars
    run(data, tmp_path / "run", KillHook(6), **recipe)
    assert_same(run(data, tmp_path / "run", resume=True, **recipe), whole)


def test_without_a_seed_a_run_takes_that_of_the_one_it_resumes(data, tmp_path):
    options = {**EVERY_STEP, "randomness": dict(deterministic=True), "default_hooks.checkpoint.max_keep_ckpts": -1}
    whole = run(data, tmp_path / "whole", **options)
    (tmp_path / "run").mkdir()
    shutil.copy(tmp_path / "whole/iter_6.pth", tmp_path / "run")
    assert_same(run(data, tmp_path / "run", resume=True, load_from=str(tmp_path / "run/iter_6.pth"), **options), whole)


def test_between_two_updates_of_accumulated_gradients(data, tmp_path):
    options = {**EVERY_STEP, "optim_wrapper.accumulative_counts": 3}
    whole = run(data, tmp_path / "whole", **options)
    run(data, tmp_path / "run", KillHook(5), **options)
    assert "gradients" in torch.load(tmp_path / "run/iter_5.pth", weights_only=True)
    assert_same(run(data, tmp_path / "run", resume=True, **options), whole)
    assert "gradients" not in torch.load(tmp_path / "run/iter_12.pth", weights_only=True)


def test_a_validation_that_did_not_end_is_made_first(data, tmp_path):
    """So that the best checkpoint, and the history of figures, are those of an undisturbed run."""
    options = {"train_cfg.val_interval": 1}
    whole = run(data, tmp_path / "whole", **options)
    run(data, tmp_path / "run", KillHook(validation=2), **options)
    assert not torch.load(tmp_path / "run/epoch_2.pth", weights_only=True)["meta"]["is_validated"]
    resumed = run(data, tmp_path / "run", resume=True, **options)
    assert_same(resumed, whole)
    histories = [runner.message_hub.log_scalars["val/coco/bbox_mAP"].data[0].tolist() for runner in (resumed, whole)]
    assert len(histories[0]) == EPOCHS
    assert histories[0] == histories[1]
    assert torch.load(tmp_path / "run/epoch_2.pth", weights_only=True)["meta"]["is_validated"]
    names = [{path.name for path in (tmp_path / folder).glob("*.pth")} for folder in ("run", "whole")]
    assert names[0] == names[1]


def test_batches_before_the_first_are_not_read(data, tmp_path):
    run(data, tmp_path, KillHook(EPOCH_STEPS + 3), **EVERY_STEP)
    cfg = tiny_config(data, tmp_path, **{**BASE, **EVERY_STEP, "resume": True, "train_cfg.max_epochs": 2})
    runner = runner_of(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    dataset = runner.train_dataloader.dataset
    read, prepare = [], dataset.prepare_data
    dataset.prepare_data = lambda index: (read.append(index), prepare(index))[1]
    runner.train()
    assert len(read) == 4, "one batch of four images is left of this epoch"


def test_a_run_is_made_longer_with_its_history(data, tmp_path):
    run(data, tmp_path)
    longer = run(data, tmp_path, resume=True, **{"train_cfg.max_epochs": EPOCHS + 1})
    assert longer.epoch == EPOCHS + 1
    assert len(longer.message_hub.log_scalars["val/coco/bbox_mAP"].data[0]) == 2  # after the third and the fourth
    assert len(longer.message_hub.log_scalars["train/loss"].data[0]) == EPOCH_STEPS * (EPOCHS + 1)


def test_an_epoch_of_another_length_is_entered_at_the_same_share():
    loop = object.__new__(ExactTrainLoop)
    loop._iter, loop._epoch, loop.dataloader = 130, 1, range(50)
    for steps, epoch_steps, first in ((30, 100, 15), (30, 50, 30), (0, 100, 0), (None, None, 0)):
        loop.enter(steps, epoch_steps, is_validated=True)
        assert loop._first() == first
    loop._iter = 80  # of a checkpoint of mmengine's own hook
    loop.enter(None, None, is_validated=True)
    assert loop._first() == 30
