"""What the commands share."""

from __future__ import annotations

import os
from argparse import ArgumentParser

import torch
from mmengine.config import Config, DictAction

INTERRUPTED = 130
"""Exit status after Ctrl-C, the shell's convention."""


def common_arguments(parser: ArgumentParser) -> None:
    """The arguments that mmdet's train and test tools have in common."""
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="folder of logs and checkpoints; work_dirs/<config> by default")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help="override values of the config: key=value, nested keys with dots, lists as key=[a,b]",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by the launcher")


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
