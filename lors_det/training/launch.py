"""How a run starts: alone or by a launcher, in which precision, at which learning rate."""

from __future__ import annotations

import os

import torch
from mmengine.config import Config

from lors_det.errors import InputError


def is_first_process() -> bool:
    """Whether this process is the only one or the first, as the launcher says before processes have met."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"))


def launch(cfg: Config, launcher: str, local_rank: int) -> None:
    """Prepare a config for the launcher that started this process.

    mmengine's own start needs a GPU; on a machine without one, the processes meet here, over gloo, and the model is
    wrapped with mmengine's defaults, less its GPU, and the config's own ``model_wrapper_cfg``.
    """
    cfg.launcher = launcher
    os.environ.setdefault("LOCAL_RANK", str(local_rank))  # torchrun sets it, older launchers pass the flag
    if launcher == "pytorch" and not torch.cuda.is_available():
        torch.distributed.init_process_group("gloo")
        cfg.model_wrapper_cfg = {
            "type": "MMDistributedDataParallel",
            "broadcast_buffers": False,
            "find_unused_parameters": cfg.get("find_unused_parameters", False),
            **(cfg.get("model_wrapper_cfg") or {}),
            "device_ids": None,
        }


def use_mixed_precision(cfg: Config) -> None:
    """Train in bf16 where the hardware computes in it, else in fp16 with a scaled loss, which bf16 does not need.

    Raises:
        InputError: without a GPU.
    """
    if not torch.cuda.is_available():
        raise InputError("--amp needs a GPU, and torch sees none; train without it")
    # older cards, such as V100 and T4, emulate bf16, slower than float32
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    own = (
        dict(dtype="bfloat16", loss_scale=dict(enabled=False))
        if native
        else dict(dtype="float16", loss_scale="dynamic")
    )
    cfg.optim_wrapper.update(type="AmpOptimWrapper", **own)


def check_mixed_precision(cfg: Config) -> None:
    """Refuse a config that trains in mixed precision where there is no GPU.

    Raises:
        InputError: it names the config key.
    """
    if cfg.optim_wrapper.get("type") == "AmpOptimWrapper" and not torch.cuda.is_available():
        raise InputError(
            "config key optim_wrapper.type is AmpOptimWrapper, mixed precision, which needs a GPU; torch sees none: "
            "set it to OptimWrapper"
        )


def scale_learning_rate(cfg: Config) -> None:
    """Let mmengine scale the learning rate to the batch size, that of an update: steps that it accumulates count.

    A config that has it on already, as a run's own has, is left as it is.

    Raises:
        InputError: if the config does not say for which batch size its learning rate is.
    """
    if not (cfg.get("auto_scale_lr") or {}).get("base_batch_size"):
        raise InputError(
            "--auto-scale-lr needs the batch size that the config's learning rate is for: "
            "--cfg-options auto_scale_lr.base_batch_size=16"
        )
    if not cfg.auto_scale_lr.get("enable"):
        cfg.auto_scale_lr.enable = True
        base = cfg.auto_scale_lr.base_batch_size / cfg.optim_wrapper.get("accumulative_counts", 1)
        cfg.auto_scale_lr.base_batch_size = int(base) if base == int(base) else base  # mmengine's is of a step
