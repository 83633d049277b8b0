"""Data that a run could not learn or be judged from is refused before its first step."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, cast

import numpy as np
from mmdet.registry import HOOKS
from mmengine.dataset import InfiniteSampler
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from lors_det.errors import InputError
from lors_det.plugin.unwrapped import datasets_in

MAX_IDS = 10
"""Ids that a message names."""


@HOOKS.register_module()
class DataGuardHook(Hook):
    """Refuses a training set smaller than a batch that is dropped, a validation set without boxes, and misread ids.

    A stock Runner would train no step and save a checkpoint of it; it would call any AP of -1 the best; for ids see
    :func:`check_evaluated_ids`.

    Raises:
        InputError: it names the numbers, or the annotation file.
    """

    def before_train(self, runner: Runner) -> None:
        check_training_set(runner.train_dataloader, by_epochs=isinstance(runner.train_loop, EpochBasedTrainLoop))
        if runner.val_loop is not None:
            check_validation_set(runner.val_dataloader.dataset)
            _check_ids(runner, runner.val_evaluator)

    def before_test(self, runner: Runner) -> None:
        try:
            check_validation_set(runner.test_dataloader.dataset)
        except InputError as error:  # such sets are published, for predictions that others judge
            runner.logger.warning(f"{error.args[0].partition(', so')[0]}: metrics of -1 say nothing")
        _check_ids(runner, runner.test_evaluator)


def _check_ids(runner: Runner, evaluator: Evaluator) -> None:
    for metric in evaluator.metrics:
        warning = check_evaluated_ids(metric)
        if warning is not None:
            runner.logger.warning(warning)


def check_evaluated_ids(metric: BaseMetric) -> str | None:
    """What ids of a metric's annotation file would make wrong: refused where it is the figures of classes.

    pycocotools evaluates categories in the order of their ids, and mmdet names its figures in the order of the file.
    It marks a box without a match by the id 0, so that the annotation of that id is never found.

    Returns:
        A warning of one missed box; None without.

    Raises:
        InputError: if the metric tells the AP of each class, and ids of categories do not ascend.
    """
    truth = getattr(metric, "_coco_api", None)
    if truth is None:  # another metric, or its own file is made of the images' boxes, with ids from 1
        return None
    ids = [category["id"] for category in truth.dataset["categories"]]
    remedy = "lors-det check-data with --fix writes a copy with ids from 1"
    if getattr(metric, "classwise", False) and np.unique(ids).tolist() != ids:
        raise InputError(
            f"the ids of categories in the evaluator's ann_file, {ids[:MAX_IDS]}, do not ascend in the order of the "
            f"file, so that classwise=True would tell the AP of a class as another's; {remedy}"
        )
    if 0 in truth.anns:
        return f"the evaluator's ann_file has an annotation of id 0, whose box always counts as missed; {remedy}"
    return None


def check_training_set(loader: DataLoader, *, by_epochs: bool) -> None:
    """Refuse a loader without a single batch, and, for a loop that goes by epochs, one without an end.

    The train command asks before the Runner makes schedules, which fail on an epoch without steps.

    Raises:
        InputError: it names the numbers.
    """
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)  # of a loader whose batches have places
    if isinstance(sampler, InfiniteSampler):  # which fills batches over and over
        if by_epochs:
            raise InputError(
                "config key train_dataloader.sampler is an InfiniteSampler, with which no epoch ends; take "
                "DefaultSampler, or train by iterations, in a config file: "
                'train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=N, val_interval=M)'
            )
    elif not len(loader):
        size = getattr(loader.batch_sampler, "batch_size", loader.batch_size)
        images = len(cast(Sized, sampler))
        raise InputError(
            f"train_dataloader makes no batch: {images} images of this process are fewer than "
            f"batch_size={size}, and drop_last drops what is left; set train_dataloader.batch_size lower"
        )


def check_validation_set(dataset: Any) -> None:
    """Refuse a set without a single box that counts: of crowds alone, COCO's AP is -1.

    Raises:
        InputError: it names the annotation files.
    """
    sets = [each for each in datasets_in(dataset) if hasattr(each, "ann_file")]
    images = (each.get_data_info(index) for each in sets for index in range(len(each)))
    if sets and all(box.get("ignore_flag") for image in images for box in image.get("instances") or ()):
        raise InputError(
            f"annotation file {', '.join(str(each.ann_file) for each in sets)} has no boxes that count, so nothing "
            "can be validated on it; name another in val_dataloader.dataset.ann_file, or train without validation: "
            "--cfg-options val_dataloader=None val_evaluator=None val_cfg=None"
        )
