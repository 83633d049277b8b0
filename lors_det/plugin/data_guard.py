"""Data that a run could not learn or be judged from is refused before its first step."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any, cast

from mmdet.registry import HOOKS
from mmengine.dataset import BaseDataset, InfiniteSampler
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from lors_det.errors import InputError


@HOOKS.register_module()
class DataGuardHook(Hook):
    """Refuses a training set smaller than a batch that is dropped, and a validation set without boxes.

    A stock Runner would train no step and save a checkpoint of it; it would call any AP of -1 the best.

    Raises:
        InputError: it names the numbers, or the annotation file.
    """

    def before_train(self, runner: Runner) -> None:
        check_training_set(runner.train_dataloader)
        if runner.val_loop is not None:
            check_validation_set(runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        try:
            check_validation_set(runner.test_dataloader.dataset)
        except InputError as error:  # such sets are published, for predictions that others judge
            runner.logger.warning(f"{error.args[0].partition(', so')[0]}: metrics of -1 say nothing")


def check_training_set(loader: DataLoader) -> None:
    """Refuse a loader without a single batch.

    The train command asks before the Runner makes schedules, which fail on an epoch without steps.

    Raises:
        InputError: it names the numbers.
    """
    if not len(loader) and not isinstance(loader.sampler, InfiniteSampler):  # which fills batches over and over
        size = getattr(loader.batch_sampler, "batch_size", loader.batch_size)
        images = len(cast(Sized, loader.sampler))
        raise InputError(
            f"train_dataloader makes no batch: {images} images of this process are fewer than "
            f"batch_size={size}, and drop_last drops what is left; set train_dataloader.batch_size lower"
        )


def check_validation_set(dataset: Any) -> None:
    """Refuse a set without a single box.

    Raises:
        InputError: it names the annotation files.
    """
    sets = [each for each in datasets_in(dataset) if hasattr(each, "ann_file")]
    if sets and not any(each.get_data_info(index).get("instances") for each in sets for index in range(len(each))):
        raise InputError(
            f"annotation file {', '.join(str(each.ann_file) for each in sets)} has no boxes, so nothing can be "
            "validated on it; name another in val_dataloader.dataset.ann_file, or train without validation: "
            "--cfg-options val_dataloader=None val_evaluator=None val_cfg=None"
        )


def datasets_in(dataset: Any) -> Iterator[BaseDataset]:
    """A dataset, or all that a wrapper such as ConcatDataset or RepeatDataset holds."""
    inner = getattr(dataset, "datasets", None) or ([dataset.dataset] if hasattr(dataset, "dataset") else [])
    for each in inner:
        yield from datasets_in(each)
    if not inner:
        yield dataset
