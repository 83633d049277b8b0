"""How a run starts: alone or by a launcher, in which precision, at which learning rate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config

from lors_det.errors import InputError

SET_BY = {
    "pytorch": ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NODELIST"),
    "mpi": ("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "MASTER_ADDR"),
}
"""What each launcher says to the processes that it starts."""

_OWN_GPU = {"pytorch": "LOCAL_RANK", "slurm": "SLURM_LOCALID", "mpi": "OMPI_COMM_WORLD_LOCAL_RANK"}
"""By which of these a process takes the GPU of this number."""

STARTERS = {"pytorch": "tools/dist_train.sh", "slurm": "tools/slurm_train.sh", "mpi": "mpirun"}
"""What starts processes with it."""


def launch(cfg: Config, launcher: str, local_rank: int) -> None:
    """Prepare a config for the launcher that started this process.

    mmengine's own start needs a GPU; on a machine without one, the processes meet here, over gloo, and the model is
    wrapped with mmengine's defaults, less its GPU, and the config's own ``model_wrapper_cfg``.

    Raises:
        InputError: if that launcher has not started this process, or something needs a GPU and there is none, or none
            for this process.
    """
    missing = [name for name in SET_BY.get(launcher, ()) if name not in os.environ]
    if missing:
        raise InputError(
            f"--launcher {launcher} is for processes that it starts, and environment variable {missing[0]} is not set; "
            f"leave --launcher out, or use {STARTERS[launcher]}"
        )
    if not torch.cuda.is_available():
        if launcher in ("slurm", "mpi"):
            raise InputError(f"--launcher {launcher} needs a GPU for each process, and torch sees none here")
        if launcher != "none" and cfg.get("sync_bn"):
            raise InputError("config key sync_bn needs GPUs, and torch sees none here; leave it out")
    cfg.launcher = launcher
    os.environ.setdefault("LOCAL_RANK", str(local_rank))  # torchrun sets it, older launchers pass the flag
    _check_own_gpu(launcher)
    if launcher == "pytorch" and not torch.cuda.is_available():
        torch.distributed.init_process_group("gloo")
        cfg.model_wrapper_cfg = {
            "type": "MMDistributedDataParallel",
            "broadcast_buffers": False,
            "find_unused_parameters": cfg.get("find_unused_parameters", False),
            **(cfg.get("model_wrapper_cfg") or {}),
            "device_ids": None,
        }


def _check_own_gpu(launcher: str) -> None:
    """Refuse more processes on a machine than it has GPUs, or shows them: each takes that of its number."""
    number, gpus = os.environ.get(_OWN_GPU.get(launcher, ""), "0"), torch.cuda.device_count()
    if launcher != "none" and number.isdecimal() and 0 < gpus <= int(number):
        raise InputError(
            f"process {number} of this machine, counted from 0, takes the GPU of that number, and torch sees {gpus} "
            f"here; start as many as there are, and let each see all: srun --gres=gpu:N, not --gpus-per-task"
        )


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


def rate_notes(cfg: Config, processes: int) -> Iterator[str]:
    """A sentence where the learning rate is for other batches than a training has, and is not scaled to them."""
    rule: dict[str, Any] = cfg.get("auto_scale_lr") or {}
    base, each = rule.get("base_batch_size"), cfg.train_dataloader.get("batch_size")
    if not base or not each or rule.get("enable"):
        return
    accumulated = cfg.optim_wrapper.get("accumulative_counts", 1)
    total = each * processes * accumulated
    if total != base:
        factors = [f"{processes} processes"] * (processes > 1) + [f"{accumulated} accumulated steps"] * (
            accumulated > 1
        )
        of = f", {' times '.join([str(each), *factors])}" if factors else ""
        yield (
            f"the learning rate is for batches of {base}, and an update of this training has {total} images{of}; "
            "--auto-scale-lr scales it"
        )
