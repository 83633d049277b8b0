"""Running statistics of batch norms that processes have learned, each from its own images."""

from __future__ import annotations

from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import EMAHook
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lors_det.plugin.unwrapped import unwrapped


def share_statistics(runner: Runner) -> None:
    """Give every process the mean over all of them, where they differ: what is validated is then what is saved.

    mmengine's DistributedDataParallel does not pass buffers on, so that each process has those of its own images, and
    of a checkpoint those of the first. Of a mean of the weights, the statistics are the model's and are met likewise.
    Norms in evaluation mode learn nothing, and those of :class:`torch.nn.SyncBatchNorm` are the same everywhere.
    """
    if get_world_size() == 1:
        return
    model = unwrapped(runner.model)
    learning = [name for name, module in model.named_modules() if _learns(module)]
    for each in (model, *(hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook))):
        for name in learning:
            norm = each.get_submodule(name)
            for statistic in (norm.running_mean, norm.running_var):
                all_reduce(statistic, op="mean")


def _learns(module: nn.Module) -> bool:
    return (
        isinstance(module, _BatchNorm)
        and not isinstance(module, nn.SyncBatchNorm)
        and module.training
        and module.running_mean is not None
    )
