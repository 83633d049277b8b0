"""Train what a config says.

python tools/train.py configs/shapes/lors-adamixer_r18-half_16-query_5e_shapes.py
python tools/train.py CONFIG --resume
"""

from __future__ import annotations

import argparse
import sys

import torch
from mmengine.runner import Runner

from lors_det.plugin import cli
from lors_det.plugin.config import load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.common_arguments(parser)
    parser.add_argument("--amp", action="store_true", help="mixed precision: bf16 where the hardware has it, else fp16")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate to the batch size")
    parser.add_argument(
        "--resume", nargs="?", const="auto", help="go on from CHECKPOINT, or from the last one of the work dir"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cli.export_local_rank(args.local_rank)
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    cfg.launcher = args.launcher
    if args.amp:
        bf16 = not torch.cuda.is_available() or torch.cuda.is_bf16_supported()
        cfg.optim_wrapper.update(type="AmpOptimWrapper", dtype="bfloat16" if bf16 else "float16")
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume
    try:
        Runner.from_cfg(cfg).train()
    except KeyboardInterrupt:
        print(f"\ninterrupted; go on from the last checkpoint of {cfg.work_dir} with --resume", file=sys.stderr)
        sys.exit(cli.INTERRUPTED)


if __name__ == "__main__":
    cli.run(main)
