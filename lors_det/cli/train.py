"""Train what a config says.

lors-det train configs/shapes/lors-adamixer_r18-half_16-query_5e_shapes.py
lors-det train CONFIG --resume
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

import torch
from mmengine.config import Config
from mmengine.runner import Runner, find_latest_checkpoint

from lors_det.cli import shared
from lors_det.errors import InputError
from lors_det.plugin.config import load_config
from lors_det.plugin.data_guard import check_training_set
from lors_det.reports.config_check import schedule_notes


def add_arguments(parser: ArgumentParser) -> None:
    shared.common_arguments(parser)
    parser.add_argument("--amp", action="store_true", help="mixed precision: bf16 where the hardware has it, else fp16")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate to the batch size")
    parser.add_argument(
        "--resume", nargs="?", const="auto", help="go on from CHECKPOINT, or from the last one of the work dir"
    )


def main(args: Namespace) -> None:
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    for note in schedule_notes(cfg):
        print(f"warning: {note}", file=sys.stderr)
    shared.launch(cfg, args.launcher, args.local_rank)
    if args.amp:
        use_mixed_precision(cfg)
    if args.auto_scale_lr:
        if not (cfg.get("auto_scale_lr") or {}).get("base_batch_size"):
            raise InputError(
                "--auto-scale-lr needs the batch size that the config's learning rate is for: "
                "--cfg-options auto_scale_lr.base_batch_size=16"
            )
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        resume(cfg, args.resume)
    try:
        runner = Runner.from_cfg(cfg)
        check_training_set(runner.train_loop.dataloader)
        runner.train()
    except KeyboardInterrupt:
        last = find_latest_checkpoint(cfg.work_dir)
        remedy = f"go on from the last checkpoint, {last}, with --resume" if last else "no checkpoint was written yet"
        print(f"\ninterrupted; {remedy}", file=sys.stderr)
        sys.exit(shared.INTERRUPTED)


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
