"""Checkpoints that do not fit the model that they are loaded into are refused."""

from __future__ import annotations

import logging
import re
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from lors_det.errors import InputError
from lors_det.plugin.class_heads import adapt_class_heads
from lors_det.plugin.data_guard import datasets_in
from lors_det.plugin.dataset import check_classes
from lors_det.plugin.first_version import bring_up_to_date
from lors_det.state_diff import state_diff


@HOOKS.register_module()
class CheckpointGuardHook(Hook):
    """Refuses a checkpoint of another model.

    Evaluation and resuming need every weight and the same classes. Fine-tuning (``load_from``) may lack some, but
    not all, and gets class heads for its own classes; what was loaded and what was not is logged. A stock Runner would
    go on with random weights.

    Raises:
        InputError: it names the weights or classes that do not fit.
    """

    priority = "HIGH"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        if runner._resume and not ("meta" in checkpoint and "optimizer" in checkpoint):
            raise InputError(
                "the checkpoint holds weights alone, without the training's state, and cannot be resumed; "
                "start a new training from it: --cfg-options load_from=CHECKPOINT"
            )
        bring_up_to_date(checkpoint, model)
        holder = checkpoint if "state_dict" in checkpoint else {"state_dict": checkpoint}
        # as mmengine does when it loads them: a wrapped model's names begin so
        weights = {re.sub(r"^module\.", "", name): weight for name, weight in holder["state_dict"].items()}
        own = model.state_dict()
        # a loop is built when its work begins, and until then is a config; a hook may have built that of training
        testing = isinstance(runner._test_loop, BaseLoop)
        fine_tuning = isinstance(runner._train_loop, BaseLoop) and not testing and not runner._resume
        if fine_tuning:
            trained = checkpoint.get("meta", {}).get("dataset_meta", {}).get("classes")
            classes = runner.train_loop.dataloader.dataset.metainfo["classes"]
            heads = adapt_class_heads(weights, own, trained, classes)
            if heads is not None:
                runner.logger.warning(heads)
                holder["state_dict"].clear()
                holder["state_dict"].update(weights)
        expected = {name: weight.shape for name, weight in own.items()}
        diff = state_diff(weights, expected)
        if diff.words and (not fine_tuning or not diff.num_fitting):
            raise InputError(
                f"the checkpoint is of another model than the config ({diff.words}); "
                "use the config that it was trained with"
            )
        if fine_tuning:
            words = f"{diff.num_fitting} of {len(expected)} weights loaded" + (f"; {diff.words}" if diff.words else "")
            runner.logger.log(logging.WARNING if diff.words else logging.INFO, words)
        if not fine_tuning:
            self._check_classes(runner, checkpoint)

    @staticmethod
    def _check_classes(runner: Runner, checkpoint: dict[str, Any]) -> None:
        trained = checkpoint.get("meta", {}).get("dataset_meta", {}).get("classes")
        loop = next((loop for loop in (runner._test_loop, runner._val_loop) if isinstance(loop, BaseLoop)), None)
        if trained and loop:
            dataset = loop.dataloader.dataset
            files = ", ".join(str(getattr(each, "ann_file", each)) for each in datasets_in(dataset))
            check_classes(trained, dataset.metainfo["classes"], files)
