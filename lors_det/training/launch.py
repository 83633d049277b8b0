"""How a run starts: alone or by a launcher, in which precision, from which checkpoint."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from lors_det.checkpoints.stored_config import config_of
from lors_det.errors import InputError
from lors_det.plugin.saving.safe_loading import load_from_local


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
    """Train in bf16 where the hardware computes in it, else in fp16 with a scaled loss.

    Raises:
        InputError: without a GPU.
    """
    if not torch.cuda.is_available():
        raise InputError("--amp needs a GPU, and torch sees none; train without it")
    # older cards, such as V100 and T4, emulate bf16, slower than float32
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    cfg.optim_wrapper.update(type="AmpOptimWrapper", dtype="bfloat16" if native else "float16")


def scale_learning_rate(cfg: Config) -> None:
    """Let mmengine scale the learning rate to the batch size.

    Raises:
        InputError: if the config does not say for which batch size its learning rate is.
    """
    if not (cfg.get("auto_scale_lr") or {}).get("base_batch_size"):
        raise InputError(
            "--auto-scale-lr needs the batch size that the config's learning rate is for: "
            "--cfg-options auto_scale_lr.base_batch_size=16"
        )
    cfg.auto_scale_lr.enable = True


def resume(cfg: Config, checkpoint: str) -> None:
    """Go on from a checkpoint, or ("auto") from the work dir's last.

    Where the work dir holds none, the config's ``load_from`` stays, so that a script that always says ``--resume``
    starts a fine-tuning as it should.
    """
    if checkpoint != "auto":
        cfg.resume, cfg.load_from = True, checkpoint
    elif find_latest_checkpoint(cfg.work_dir) is not None:
        cfg.resume, cfg.load_from = True, None
    else:
        cfg.resume = False
        start = f"the weights of {cfg.load_from}" if cfg.get("load_from") else "the beginning"
        print(f"--resume: {cfg.work_dir} holds no checkpoint, so this starts from {start}", file=sys.stderr)


@dataclass(frozen=True)
class FormerRun:
    """The run that is resumed."""

    checkpoint: Path
    config: Config | None
    """None where the checkpoint has none."""
    epoch: int
    """Epochs that were trained."""
    epoch_steps: int | None
    """Steps of each; None where they were not equally many, or none was finished."""


def former_run(checkpoint: str | Path, work_dir: str) -> FormerRun | None:
    """The run of a checkpoint, or ("auto") of the work dir's last; None where there is none.

    Raises:
        InputError: if the checkpoint cannot be read.
    """
    found = find_latest_checkpoint(work_dir) if str(checkpoint) == "auto" else str(checkpoint)
    if found is None:
        return None
    read = load_from_local(found, "cpu")
    config = config_of(read, f"the config in checkpoint {found}")
    meta = read.get("meta") or {}
    epoch, steps = int(meta.get("epoch") or 0), int(meta.get("iter") or 0)
    return FormerRun(Path(found), config, epoch, steps // epoch if epoch and steps % epoch == 0 else None)
