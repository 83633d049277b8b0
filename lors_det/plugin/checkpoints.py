"""Checkpoints that hold plain data, and that fit the model they are loaded into."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from lors_det.errors import InputError
from lors_det.plugin.dataset import check_classes

_HISTORY = "lors_det.history"


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Writes checkpoints that ``torch.load(..., weights_only=True)`` reads.

    mmengine's message hub keeps log histories as objects and NumPy scalars, which need unpickling; they are
    written as tensors and numbers, and made again when the checkpoint is resumed.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        for key in checkpoint:
            checkpoint[key] = to_plain(checkpoint[key], key)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        for name, value in checkpoint.get("message_hub", {}).get("log_scalars", {}).items():
            if isinstance(value, dict) and _HISTORY in value:
                values, counts, max_length = value[_HISTORY]
                checkpoint["message_hub"]["log_scalars"][name] = HistoryBuffer(
                    values.tolist(), counts.tolist(), max_length
                )


def to_plain(value: Any, where: str) -> Any:
    """The value with histories as tensors and NumPy values as Python's; tensors and plain values as they are.

    Args:
        value: what a checkpoint holds.
        where: its path in the checkpoint, for the message.

    Raises:
        TypeError: for anything that ``weights_only`` loading would refuse; it names where it is.
    """
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, torch.Tensor)):
        # np.float64 is a float to isinstance, but not to the unpickler
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        tensors = torch.tensor(values, dtype=torch.float64), torch.tensor(counts, dtype=torch.float64)
        return {_HISTORY: [*tensors, value.max_length]}
    if isinstance(value, dict):
        return type(value)((key, to_plain(item, f"{where}.{key}")) for key, item in value.items())
    if isinstance(value, (list, tuple, set)):
        return type(value)(to_plain(item, f"{where}[]") for item in value)
    raise TypeError(f"the checkpoint's {where} is a {type(value).__name__}, which a plain-data checkpoint cannot hold")


@HOOKS.register_module()
class CheckpointGuardHook(Hook):
    """Refuses a checkpoint of another model.

    Evaluation and resuming need every weight and the same classes. Fine-tuning (``load_from``) may lack some, but
    not all; what was loaded and what was not is logged. A stock Runner would go on with random weights.

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
        weights = checkpoint.get("state_dict", checkpoint)
        expected = model.state_dict()
        missing = [name for name in expected if name not in weights]
        unexpected = [name for name in weights if name not in expected]
        misshapen = [
            f"{name} {tuple(weights[name].shape)} instead of {tuple(expected[name].shape)}"
            for name in expected
            if name in weights and weights[name].shape != expected[name].shape
        ]
        # a loop is built when its work begins, and until then is a config
        fine_tuning = isinstance(runner._train_loop, BaseLoop) and not runner._resume
        problems = [
            f"{len(names)} {kind}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
            if names
        ]
        num_fitting = len(expected) - len(missing) - len(misshapen)
        if problems and (not fine_tuning or num_fitting == 0):
            raise InputError(
                f"the checkpoint is of another model than the config ({'; '.join(problems)}); "
                "use the config that it was trained with"
            )
        if problems:
            runner.logger.warning(f"{num_fitting} of {len(expected)} weights loaded; {'; '.join(problems)}")
        if not fine_tuning:
            self._check_classes(runner, checkpoint)

    @staticmethod
    def _check_classes(runner: Runner, checkpoint: dict[str, Any]) -> None:
        trained = checkpoint.get("meta", {}).get("dataset_meta", {}).get("classes")
        loop = next((loop for loop in (runner._test_loop, runner._val_loop) if isinstance(loop, BaseLoop)), None)
        if trained and loop:
            check_classes(trained, loop.dataloader.dataset.metainfo["classes"], loop.dataloader.dataset.ann_file)
