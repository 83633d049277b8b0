"""Strong augmentation off for the last epochs, so that training ends on images as they are."""

from __future__ import annotations

from math import ceil
from typing import Any

from mmdet.engine.hooks import PipelineSwitchHook
from mmdet.registry import HOOKS
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from lors_det.errors import InputError


@HOOKS.register_module()
class GentleFinishHook(Hook):
    """Trains the last epochs with another pipeline, as mmdet's PipelineSwitchHook, at a share of the epochs.

    The share follows ``train_cfg.max_epochs``, which stays the one value that says how long training lasts.

    Args:
        pipeline: transforms of the last epochs.
        last: share of the epochs that they are, in [0, 1]; rounded up to whole epochs.

    Raises:
        InputError: if the share is none, training counts iterations, or the set is wrapped in another.
    """

    def __init__(self, pipeline: list[dict[str, Any]], *, last: float = 0.2) -> None:
        if not 0 <= last <= 1:
            raise InputError(f"GentleFinishHook takes last={last}; it must be a share of the epochs, 0 to 1")
        self.pipeline = pipeline
        self.last = last
        self._switch: PipelineSwitchHook | None = None

    def before_train(self, runner: Runner) -> None:
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise InputError("GentleFinishHook counts epochs; take it out of custom_hooks, or train by epochs")
        dataset = runner.train_dataloader.dataset
        if not isinstance(dataset, BaseDataset):
            raise InputError(
                f"GentleFinishHook changes the pipeline of one set, and train_dataloader.dataset is a "
                f"{type(dataset).__name__} around it; take the wrapper away, or the hook out of custom_hooks"
            )
        num_gentle = ceil(round(self.last * runner.max_epochs, 9))  # .28 of 25 is 7, and in binary a little more
        self._switch = PipelineSwitchHook(runner.max_epochs - num_gentle, self.pipeline)

    def before_train_epoch(self, runner: Runner) -> None:
        assert self._switch is not None
        self._switch.before_train_epoch(runner)
