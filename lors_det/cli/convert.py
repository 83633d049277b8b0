"""Convert checkpoints: published to ours, ours to published, to safetensors, LORS folded to a dense model.

python tools/convert_checkpoint.py published.pth ours.pth
python tools/convert_checkpoint.py ours.pth published.pth --to-published
python tools/convert_checkpoint.py ours.pth ours.safetensors    # weights, config and class names; or back
python tools/convert_checkpoint.py ours.pth dense.pth --fold --config CONFIG    # also writes dense.py, its config
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.checkpoints.convert import convert_file, fold_file
from lors_det.cli import shared
from lors_det.errors import InputError
from lors_det.plugin.saving.safe_loading import trust


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("src", type=Path, help="checkpoint to read")
    parser.add_argument("dst", type=Path, help="checkpoint to write")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--to-published", action="store_true", help="from this project's names to the published ones")
    kind.add_argument("--fold", action="store_true", help="fold LORS residuals into a dense model")
    parser.add_argument("--config", type=Path, help="with --fold: the model's config; the checkpoint's own by default")
    shared.trust_argument(parser, "SRC")


def main(args: Namespace) -> None:
    if args.config and not args.fold:
        raise InputError("--config belongs to --fold")
    if args.trust_checkpoint:
        trust(args.src)
    if args.fold:
        print(fold_file(args.src, args.dst, args.config))
    else:
        print(convert_file(args.src, args.dst, back=args.to_published))
