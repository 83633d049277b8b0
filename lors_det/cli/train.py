"""Train what a config says.

python tools/train.py configs/shapes/lors-adamixer_r18-half_16-query_5e_shapes.py
python tools/train.py CONFIG --resume
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

import torch
from mmengine.runner import Runner, find_latest_checkpoint

from lors_det.cli import shared
from lors_det.errors import InputError
from lors_det.plugin.config import load_config


def add_arguments(parser: ArgumentParser) -> None:
    shared.common_arguments(parser)
    parser.add_argument("--amp", action="store_true", help="mixed precision: bf16 where the hardware has it, else fp16")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate to the batch size")
    parser.add_argument(
        "--resume", nargs="?", const="auto", help="go on from CHECKPOINT, or from the last one of the work dir"
    )


def main(args: Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    shared.launch(cfg, args.launcher, args.local_rank)
    if args.amp:
        if not torch.cuda.is_available():
            raise InputError("--amp needs a GPU, and torch sees none; train without it")
        dtype = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        cfg.optim_wrapper.update(type="AmpOptimWrapper", dtype=dtype)
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = args.resume != "auto" or find_latest_checkpoint(cfg.work_dir) is not None
        cfg.load_from = None if args.resume == "auto" else args.resume
        if not cfg.resume:
            print(f"--resume: {cfg.work_dir} holds no checkpoint, so this starts from the beginning", file=sys.stderr)
    try:
        Runner.from_cfg(cfg).train()
    except KeyboardInterrupt:
        last = find_latest_checkpoint(cfg.work_dir)
        remedy = f"go on from the last checkpoint, {last}, with --resume" if last else "no checkpoint was written yet"
        print(f"\ninterrupted; {remedy}", file=sys.stderr)
        sys.exit(shared.INTERRUPTED)
