"""Convert checkpoints: published names to ours and back, to safetensors, LORS to a dense model and back.

lors-det convert published.pth ours.pth
lors-det convert ours.pth published.pth --to-published
lors-det convert ours.pth ours.safetensors    # weights, config and class names; or back
lors-det convert ours.pth FOLDER --publish        # weights, config and class names, named by the run and its SHA-256
lors-det convert ours.pth dense.pth --fold --config CONFIG    # also writes dense.py, its config
lors-det convert dense.pth lors.pth --factorise --config LORS_CONFIG    # as near as the ranks allow
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.cli import shared
from lors_det.errors import InputError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("src", type=Path, help="checkpoint to read")
    parser.add_argument("dst", type=Path, help="checkpoint to write; with --publish, the folder of it")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--to-published", action="store_true", help="from this project's names to the published ones")
    kind.add_argument("--publish", action="store_true", help="drop the training's state; name the file by its SHA-256")
    kind.add_argument("--fold", action="store_true", help="fold LORS residuals into a dense model")
    kind.add_argument("--factorise", action="store_true", help="make bases and residuals of a dense model's stages")
    parser.add_argument(
        "--config",
        type=Path,
        help="with --fold: the model's config, the checkpoint's own by default; with --factorise: the LORS model's",
    )
    shared.trust_argument(parser, "SRC")


def main(args: Namespace) -> None:
    if args.config and not (args.fold or args.factorise):
        raise InputError("--config belongs to --fold or --factorise")
    if args.factorise and not args.config:
        raise InputError("--factorise needs --config, that of the LORS model")
    if args.publish:
        if args.dst.suffix in (".pth", ".pt", ".safetensors") and not args.dst.is_dir():
            raise InputError(f"{args.dst}: --publish names the file itself; name its folder")
    elif args.dst.exists():
        raise InputError(f"{args.dst} exists; name another file, or remove it")
    from lors_det.checkpoints.convert import convert_file, publish_file
    from lors_det.checkpoints.folding import factorise_file, fold_file
    from lors_det.plugin.saving.safe_loading import trust

    if args.trust_checkpoint:
        trust(args.src)
    if args.publish:
        print(publish_file(args.src, args.dst))
    elif args.fold:
        print(fold_file(args.src, args.dst, args.config))
    elif args.factorise:
        print(factorise_file(args.src, args.dst, args.config))
    else:
        print(convert_file(args.src, args.dst, back=args.to_published))
