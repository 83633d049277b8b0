"""Train what a config says, on its own data or on a folder's.

lors-det train configs/shapes/lors-adamixer_r18-half_16-query_5e_shapes.py
lors-det train CONFIG --resume
lors-det train CONFIG --data DIR

DIR holds COCO JSON files (Roboflow's layout too), Pascal VOC or YOLO labels; what it was recognised as is printed
before anything runs. Splits that it lacks are made, and values that the config leaves to the data are chosen.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from lors_det.cli import shared
from lors_det.errors import INTERRUPTED, TERMINATED, Terminated


def add_arguments(parser: ArgumentParser) -> None:
    shared.common_arguments(parser)
    parser.add_argument("--data", type=shared.named, metavar="DIR", help="folder of images and annotations")
    parser.add_argument("--epochs", type=int, help="train_cfg.max_epochs")
    parser.add_argument("--batch-size", type=int, help="train_dataloader.batch_size")
    parser.add_argument(
        "--image-side",
        type=int,
        metavar="PX",
        help="long side of the images in pixels, for a config that leaves it to the data",
    )
    parser.add_argument("--seed", type=int, help="randomness.seed, of weights, order and augmentation")
    parser.add_argument("--load-from", metavar="CHECKPOINT", help="fine-tune it: class heads follow the data")
    parser.add_argument("--amp", action="store_true", help="mixed precision: bf16 where the hardware has it, else fp16")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate to the batch size")
    parser.add_argument(
        "--resume", nargs="?", const="auto", help="go on from CHECKPOINT, or from the last one of the work dir"
    )
    parser.add_argument(
        "--resume-anyway", action="store_true", help="with --resume, where config, batch or processes have changed"
    )
    shared.trust_argument(parser, "the checkpoint that --load-from or --resume names")
    shared.console_arguments(parser)


def main(args: Namespace) -> None:
    from lors_det.training import train

    try:
        train(
            args.config,
            args.data,
            work_dir=args.work_dir,
            epochs=args.epochs,
            batch_size=args.batch_size,
            image_side=args.image_side,
            seed=args.seed,
            load_from=args.load_from,
            resume_from=args.resume,
            resume_anyway=args.resume_anyway,
            trust_checkpoint=args.trust_checkpoint,
            amp=args.amp,
            auto_scale_lr=args.auto_scale_lr,
            options=args.cfg_options,
            launcher=args.launcher,
            local_rank=args.local_rank,
            console=args.console,
        )
    except KeyboardInterrupt as interrupt:
        told = isinstance(interrupt, Terminated)
        happened = "ended, as SIGTERM asks" if told else "interrupted"
        print(f"\n{happened}; {interrupt or 'training had not begun'}", file=sys.stderr)
        sys.exit(TERMINATED if told else INTERRUPTED)
