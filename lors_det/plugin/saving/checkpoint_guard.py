"""Checkpoints that do not fit the model that they are loaded into are refused."""

from __future__ import annotations

import logging
import re
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner
from torch import Tensor

from lors_det.data.words import listed
from lors_det.errors import InputError
from lors_det.plugin.loop.kind import trains
from lors_det.plugin.saving.class_heads import adapt_class_heads
from lors_det.plugin.saving.first_version import bring_up_to_date
from lors_det.plugin.saving.not_in_weights import check_values, differences, of_config, of_training
from lors_det.plugin.saving.training_parts import drop_training_parts
from lors_det.plugin.unwrapped import datasets_in
from lors_det.state_diff import state_diff

LEAST_FITTING = 0.1
"""Share of a model's weights that a fine-tuning has to begin with: fewer fit by chance, such as those of like heads."""


@HOOKS.register_module()
class CheckpointGuardHook(Hook):
    """Refuses a checkpoint of another model.

    Evaluation and resuming need every weight, the same classes, and the same values of what weights do not show, see
    :mod:`lors_det.plugin.saving.not_in_weights`. Fine-tuning (``load_from``) may lack many, but not nearly all, and
    gets class heads for its own classes; what was loaded and what was not is logged. A stock Runner would go on with
    random weights.

    Raises:
        InputError: it names the weights, classes or values that do not fit.
    """

    priority = "HIGH"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        if runner._resume and not ("meta" in checkpoint and "optimizer" in checkpoint):
            raise InputError(
                "the checkpoint holds weights alone, without the training's state, and cannot be resumed; "
                "start a new training from it: --load-from CHECKPOINT"
            )
        if "state_dict" not in checkpoint:  # weights alone, which mmengine's hooks do not look for there
            alone = dict(checkpoint)
            checkpoint.clear()
            checkpoint["state_dict"] = alone
        bring_up_to_date(checkpoint, model)
        if not runner._resume:
            drop_training_parts(checkpoint["state_dict"], model.state_dict())
        # a loop is built when its work begins, and until then is a config; a hook may have built that of training
        testing = isinstance(runner._test_loop, BaseLoop)
        if trains(runner) and not testing and not runner._resume:
            self._fine_tune(runner, checkpoint, model.state_dict())
            for words in differences(of_training(checkpoint), of_config(runner.cfg)):
                runner.logger.warning(words)
        else:
            self._check_classes(runner, checkpoint)  # first: with others, the shapes of class heads differ too
            self._check_weights(_weights(checkpoint), model.state_dict())
            check_values(of_training(checkpoint), of_config(runner.cfg), "the checkpoint")

    @staticmethod
    def _fine_tune(runner: Runner, checkpoint: dict[str, Any], own: dict[str, Tensor]) -> None:
        """Class heads for the run's own classes; what fits is loaded, and said."""
        weights = _weights(checkpoint)
        trained = _trained_classes(checkpoint)
        before = dict(weights)
        heads = adapt_class_heads(weights, own, trained, runner.train_loop.dataloader.dataset.metainfo["classes"])
        if heads is not None:
            runner.logger.warning(heads)
            held = checkpoint["state_dict"]
            held.clear()
            held.update(weights)
        diff = state_diff(weights, {name: weight.shape for name, weight in own.items()})
        if diff.num_fitting < LEAST_FITTING * len(own):
            raise _of_another_model(f"{diff.num_fitting} of {len(own)} weights fit; {diff.words}")
        num_made = sum(weights[name] is not weight for name, weight in before.items())
        words = f"{diff.num_fitting - num_made} of {len(own)} weights loaded"
        words += f", {num_made} of class heads made for these classes" if num_made else ""
        words += f"; {diff.words}" if diff.words else ""
        runner.logger.log(logging.WARNING if diff.words else logging.INFO, words)

    @staticmethod
    def _check_weights(weights: dict[str, Tensor], own: dict[str, Tensor]) -> None:
        """Every weight is there, and no other."""
        diff = state_diff(weights, {name: weight.shape for name, weight in own.items()})
        if diff.words:
            raise _of_another_model(diff.words)

    @staticmethod
    def _check_classes(runner: Runner, checkpoint: dict[str, Any]) -> None:
        trained = _trained_classes(checkpoint)
        loop = next((loop for loop in (runner._test_loop, runner._val_loop) if isinstance(loop, BaseLoop)), None)
        if trained and loop:
            dataset = loop.dataloader.dataset
            own = dataset.metainfo["classes"]
            if tuple(trained) != tuple(own):
                files = ", ".join(str(getattr(each, "ann_file", each)) for each in datasets_in(dataset))
                raise InputError(
                    f"the checkpoint knows the classes {listed(trained)}, and {files} has {listed(own)}: they "
                    "must be the same in the same order; name the data of its training, or fine-tune it: --load-from"
                )


def _weights(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """By name, as mmengine loads them: a wrapped model's begin with "module."."""
    held = checkpoint["state_dict"]
    return {re.sub(r"^module\.", "", name): weight for name, weight in held.items()}


def _trained_classes(checkpoint: dict[str, Any]) -> tuple[str, ...] | None:
    """The classes that a checkpoint tells; one may be a text by itself."""
    classes = checkpoint.get("meta", {}).get("dataset_meta", {}).get("classes")
    return (classes,) if isinstance(classes, str) else tuple(classes) if classes else None


def _of_another_model(words: str) -> InputError:
    return InputError(
        f"the checkpoint is of another model than the config ({words}); use the config that it was trained with"
    )
