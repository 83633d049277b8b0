"""Data that a run could not learn or be judged from is refused before its first step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from lors_det.errors import InputError


@HOOKS.register_module()
class DataGuardHook(Hook):
    """Refuses a training set smaller than a batch that is dropped, and a validation set without boxes.

    A stock Runner would train no step and save a checkpoint of it; it would call any AP of -1 the best.

    Raises:
        InputError: it names the numbers, or the annotation file.
    """

    def before_train(self, runner: Runner) -> None:
        loader = runner.train_dataloader
        if not len(loader):
            size = getattr(loader.batch_sampler, "batch_size", loader.batch_size)
            raise InputError(
                f"train_dataloader makes no batch: {len(loader.sampler)} images of this process are fewer than "
                f"batch_size={size}, and drop_last drops what is left; set train_dataloader.batch_size lower"
            )
        if isinstance(runner.val_loop, BaseLoop):
            sets = list(datasets_in(runner.val_dataloader.dataset))
            with_boxes = [each for each in sets if not hasattr(each, "coco") or each.coco.anns]
            if not with_boxes:
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
