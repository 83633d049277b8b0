"""What a checkpoint holds of a run."""

from __future__ import annotations

import time
from typing import Any

import mmengine
import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

import lors_det
from lors_det.plugin.data_contents import data_contents
from lors_det.plugin.unwrapped import unwrapped


def checkpoint_of(
    runner: Runner, meta: dict[str, Any], *, with_optimizer: bool, with_schedules: bool
) -> dict[str, Any]:
    """What mmengine writes of a run, whose hooks have seen it; its tensors are the run's own.

    Args:
        runner: of the training.
        meta: epoch and iter, and what else is known.
        with_optimizer: whether to hold the optimiser's state, and gradients that steps have accumulated.
        with_schedules: whether to hold those of learning rates and the like.
    """
    model = unwrapped(runner.model)
    meta = {
        **meta,
        "config_data": runner.cfg.to_dict(),
        "seed": runner.seed,
        "world_size": runner.world_size,
        "epoch_steps": len(runner.train_dataloader),
        "data_contents": data_contents(runner),
        "experiment_name": runner.experiment_name,
        "time": time.strftime("%Y%m%d_%H%M%S"),
        "mmengine_version": mmengine.__version__,
        "lors_det_version": lors_det.__version__,
    }
    if hasattr(runner.train_dataloader.dataset, "metainfo"):
        meta["dataset_meta"] = runner.train_dataloader.dataset.metainfo
    checkpoint = {"meta": meta, "state_dict": model.state_dict(), "message_hub": runner.message_hub.state_dict()}
    if with_optimizer:
        checkpoint["optimizer"] = runner.optim_wrapper.state_dict()
        if gradients := _accumulated(runner.optim_wrapper, model):
            checkpoint["gradients"] = gradients
    if with_schedules and isinstance(runner.param_schedulers, dict):  # of several optimisers
        checkpoint["param_schedulers"] = {
            name: [scheduler.state_dict() for scheduler in schedulers]
            for name, schedulers in runner.param_schedulers.items()
        }
    elif with_schedules and runner.param_schedulers is not None:
        checkpoint["param_schedulers"] = [scheduler.state_dict() for scheduler in runner.param_schedulers]
    runner.call_hook("before_save_checkpoint", checkpoint=checkpoint)
    return checkpoint


def _accumulated(optim_wrapper: OptimWrapper, model: nn.Module) -> dict[str, torch.Tensor]:
    """Gradients between two updates, the mean of all processes: their sum, in another order, up to the last bits."""
    if not isinstance(optim_wrapper, OptimWrapper):  # several of them
        return {}
    if optim_wrapper._inner_count % optim_wrapper._accumulative_counts == 0:
        return {}
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    copies = {name: gradient.detach().clone() for name, gradient in gradients.items()}
    for copy in copies.values():
        all_reduce(copy, op="mean")
    return copies
