"""What a config leaves to the data is chosen from it, and said."""

from __future__ import annotations

import json
from math import ceil

import pytest
from mmengine.config import Config
from references.tiny import LORS, overrides

from lors_det.errors import InputError
from lors_det.plugin.config.by_iterations import check_by_iterations
from lors_det.plugin.config.chosen import check_chosen, choose
from lors_det.plugin.config.reading import load_config
from lors_det.plugin.config.schedules import schedules_of
from lors_det.plugin.config.size_rules import (
    EPOCHS,
    EPOCHS_LIMITS,
    MIN_STEPS,
    SIDE_LIMITS_PX,
    SMALL_BOX_PX,
    batch_size,
    epochs,
    image_side,
)
from lors_det.reports.config_check import schedule_notes

SIZED = [dict(type="LoadImageFromFile"), dict(type="Resize", scale=None, keep_ratio=True), dict(type="PackDetInputs")]


def open_config(data, tmp_path, **changes):
    said = []
    options = {
        **overrides(data),
        "train_cfg.max_epochs": None,
        "train_cfg.val_interval": None,
        "train_dataloader.batch_size": None,
        "val_dataloader.batch_size": None,
        "train_dataloader.dataset.pipeline": SIZED,
        "custom_hooks": [dict(type="GentleFinishHook", pipeline=SIZED)],
    }
    side = changes.pop("image_side", None)
    return load_config(LORS, {**options, **changes}, str(tmp_path), image_side=side, say=said.append), said


def record(side, box, num_images=4):
    images = [dict(id=number, file_name=f"{number}.jpg", width=side, height=side // 2) for number in range(num_images)]
    boxes = [
        dict(id=number, image_id=number, category_id=1, bbox=[0, 0, box, box], area=box * box, iscrowd=0)
        for number in range(num_images)
    ]
    return dict(images=images, annotations=boxes, categories=[dict(id=1, name="thing")])


@pytest.mark.parametrize(("processes", "each"), [(1, 4), (2, 2), (8, 1)])
def test_processes_share_a_chosen_batch(data, tmp_path, processes, each):
    """The learning rate is for the batch of all of them; epochs make as many steps of them."""
    options = {**overrides(data), "train_cfg.max_epochs": None, "train_dataloader.batch_size": None}
    said = []
    cfg = load_config(LORS, options, str(tmp_path), processes=processes, say=said.append)
    assert cfg.train_dataloader.batch_size == each
    num_images = len(json.loads((data / "annotations/train.json").read_text())["images"])
    assert cfg.train_cfg.max_epochs == epochs(num_images, each * processes)
    on_each = f" on each of {processes} processes" if processes > 1 else ""
    assert said[0] == f"batches of {each}{on_each}: {num_images} images"


def test_what_is_none_is_chosen_and_said(data, tmp_path):
    cfg, said = open_config(data, tmp_path)
    num_images = len(json.loads((data / "annotations/train.json").read_text())["images"])
    side = image_side(json.loads((data / "annotations/train.json").read_text()))[0]
    passes = epochs(num_images, batch_size(num_images))
    assert cfg.train_cfg.max_epochs == passes
    assert cfg.train_cfg.val_interval == passes // 10
    assert cfg.train_dataloader.batch_size == cfg.val_dataloader.batch_size == batch_size(num_images)
    assert cfg.train_dataloader.dataset.pipeline[1].scale == (side, side)
    assert cfg.custom_hooks[0].pipeline[1].scale == (side, side)
    assert len(said) == 3
    assert f"{side} pixels" in said[0]
    assert f"batches of {batch_size(num_images)}" in said[1]
    assert f"{passes} epochs" in said[2]


def test_steps_that_make_an_update_together_are_one(data, tmp_path):
    """MIN_STEPS are updates."""
    num_images = len(json.loads((data / "annotations/train.json").read_text())["images"])
    cfg, _ = open_config(data, tmp_path, **{"train_dataloader.batch_size": 1, "optim_wrapper.accumulative_counts": 8})
    assert cfg.train_cfg.max_epochs == epochs(num_images, 8) > epochs(num_images, 1)


def test_a_value_that_is_set_stays(data, tmp_path):
    cfg, said = open_config(data, tmp_path, **{"train_cfg.max_epochs": 7, "train_dataloader.batch_size": 3})
    assert cfg.train_cfg.max_epochs == 7
    assert cfg.train_cfg.val_interval == 1
    assert cfg.train_dataloader.batch_size == cfg.val_dataloader.batch_size == 3
    assert len(said) == 1


def test_a_given_side_replaces_the_chosen_one(data, tmp_path):
    cfg, said = open_config(data, tmp_path, image_side=96)
    assert cfg.train_dataloader.dataset.pipeline[1].scale == (96, 96)
    assert not any("pixels" in words for words in said)


def test_a_side_for_a_config_that_sets_its_own_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="sets its image sizes itself"):
        load_config(LORS, overrides(data), str(tmp_path), image_side=96)


def falling_config(data, tmp_path, *, before=None, **changes):
    said = []
    options = {**overrides(data), "param_scheduler.1.begin": None, **changes}
    return load_config(LORS, options, str(tmp_path), before=before, say=said.append), said


def test_the_rate_stays_for_a_third_of_the_epochs(data, tmp_path):
    for given, stays in ((1, 0), (2, 0), (3, 1), (10, 3), (30, 10)):
        cfg, said = falling_config(data, tmp_path, **{"train_cfg.max_epochs": given})
        assert [each.begin for each in cfg.param_scheduler] == [0, stays]
        assert said == [f"the learning rate stays for {stays} epoch{'s' * (stays != 1)}, then falls"]
    cfg, said = falling_config(data, tmp_path, **{"train_cfg.max_epochs": 30, "param_scheduler.1.begin": 4})
    assert cfg.param_scheduler[1].begin == 4
    assert not said


def test_a_run_of_the_same_length_keeps_when_its_rate_falls_and_a_longer_one_does_not(data, tmp_path):
    former, _ = falling_config(data, tmp_path, **{"train_cfg.max_epochs": 9, "param_scheduler.1.begin": 0})
    same, _ = falling_config(data, tmp_path, before=former, **{"train_cfg.max_epochs": 9})
    longer, _ = falling_config(data, tmp_path, before=former, **{"train_cfg.max_epochs": 18})
    assert (same.param_scheduler[1].begin, longer.param_scheduler[1].begin) == (0, 6)


def test_without_a_length_nothing_tells_when_the_rate_falls(data, tmp_path):
    nowhere = {"train_dataloader.dataset.ann_file": "annotations/none.json", "train_cfg.max_epochs": None}
    cfg, said = falling_config(data, tmp_path, **nowhere)
    assert not said
    with pytest.raises(InputError, match=r"train_cfg\.max_epochs, param_scheduler\.1\.begin"):
        check_chosen(cfg)
    check_chosen(cfg, training=False)


@pytest.mark.parametrize("begin", [-1, 0.5, "a third"])
def test_a_begin_that_is_none_is_refused(data, tmp_path, begin):
    with pytest.raises(InputError, match=r"param_scheduler\.1\.begin.*whole number"):
        falling_config(data, tmp_path, **{"param_scheduler.1.begin": begin})


def test_nothing_to_choose_from(data, tmp_path):
    cfg, said = open_config(data, tmp_path, **{"train_dataloader.dataset.ann_file": "annotations/none.json"})
    assert not said
    with pytest.raises(InputError, match=r"image sizes, batch sizes, train_cfg.max_epochs.*none\.json.*--data"):
        check_chosen(cfg)


def test_what_was_chosen_may_train(data, tmp_path):
    check_chosen(open_config(data, tmp_path)[0])


def test_small_boxes_ask_for_large_images():
    least, most = SIDE_LIMITS_PX
    assert image_side(record(1000, 500))[0] == least
    assert image_side(record(1000, 5))[0] == most
    side = image_side(record(1000, 60))[0]
    assert least < side < most
    assert side * 60 / 1000 >= SMALL_BOX_PX


def test_images_are_not_enlarged_beyond_the_least():
    assert image_side(record(400, 4))[0] == 416
    assert image_side(record(100, 4))[0] == SIDE_LIMITS_PX[0]


def test_boxes_without_area_and_sets_without_boxes_have_a_side():
    assert image_side(record(1000, 0)) == image_side({**record(1000, 0), "annotations": []})


def test_small_sets_get_more_epochs_and_fewer_steps():
    numbers = [10, 100, 1000, 10_000, 100_000]
    passes = [epochs(number, 4) for number in numbers]
    assert passes == sorted(passes, reverse=True)
    steps = [number / 4 * epochs(number, 4) for number in numbers]
    assert steps == sorted(steps)
    assert (passes[-1], epochs(2, 4)) == EPOCHS_LIMITS
    assert ceil(40 / 4) * epochs(40, 4) >= MIN_STEPS
    assert epochs(160, 4) == epochs(500, 4) == EPOCHS


@pytest.mark.parametrize("form", ["one", "list", "by optimiser"])
def test_schedules_in_each_form_that_mmengine_takes(form):
    cosine = dict(type="CosineAnnealingLR", by_epoch=True, begin=None)
    warm_up = dict(type="LinearLR", by_epoch=False, begin=None, end=5)
    written, keys = {
        "one": (cosine, ["param_scheduler"]),
        "list": ([warm_up, cosine], ["param_scheduler.0", "param_scheduler.1"]),
        "by optimiser": ({"a": cosine, "b": [warm_up]}, ["param_scheduler.a", "param_scheduler.b.0"]),
    }[form]
    cfg = Config(dict(train_cfg=dict(max_epochs=9), param_scheduler=written))
    assert [key for key, _ in schedules_of(cfg)] == keys
    choose(cfg)
    begins = {schedule.type: schedule.begin for _, schedule in schedules_of(cfg)}
    assert begins == {"CosineAnnealingLR": 3} | ({} if form == "one" else {"LinearLR": None})


def test_a_config_with_one_schedule_alone_is_read_and_checked(data, tmp_path):
    own = tmp_path / "one.py"
    own.write_text(f'_base_ = ["{LORS}"]\nparam_scheduler = dict(_delete_=True, type="ConstantLR", begin=-1)\n')
    with pytest.raises(InputError, match=r"param_scheduler\.begin is -1"):
        load_config(own, overrides(data), str(tmp_path))
    own.write_text(own.read_text().replace("-1", "0, end=9"))
    (note,) = schedule_notes(load_config(own, {**overrides(data), "train_cfg.max_epochs": 2}, str(tmp_path)))
    assert note.startswith("param_scheduler.end is 9, and training ends after 2 epochs")


BY_ITERATIONS = {
    "param_scheduler": [dict(type="MultiStepLR", by_epoch=False, milestones=[6])],
    "default_hooks.checkpoint.by_epoch": False,
    "default_hooks.logger.log_metric_by_epoch": False,
    "log_processor.by_epoch": False,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"param_scheduler": [dict(type="MultiStepLR", milestones=[1])]}, r"and param_scheduler\.0\.by_epoch would be"),
        ({"param_scheduler": [dict(type="MultiStepLR", milestones=[1], convert_to_iter_based=True)]}, None),
        ({"default_hooks.checkpoint.by_epoch": True}, r"default_hooks\.checkpoint\.by_epoch would"),
        ({"default_hooks.logger.log_metric_by_epoch": True}, r"default_hooks\.logger\.log_metric_by_epoch would"),
        ({"log_processor.by_epoch": True}, r"log_processor\.by_epoch would"),
        (
            {"param_scheduler": [dict(type="CosineAnnealingLR", by_epoch=False, begin=None, T_max=8)]},
            r"param_scheduler\.0\.begin is None, which is chosen for schedules by epoch alone",
        ),
    ],
)
def test_what_counts_epochs_in_a_training_by_iterations_is_refused(data, tmp_path, changes, words):
    """None ends in it: rates would stay, and no checkpoint be written before the end."""
    cfg = load_config(LORS, overrides(data), str(tmp_path))
    check_by_iterations(cfg)
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=8, val_interval=4)
    values = {**BY_ITERATIONS, **changes}
    cfg.param_scheduler = values.pop("param_scheduler")
    cfg.merge_from_dict(values)
    if words is None:
        check_by_iterations(cfg)
        return
    with pytest.raises(InputError, match=words):
        check_by_iterations(cfg)
