"""Write a checkpoint's model as an ONNX file, which onnxruntime computes without torch.

lors-det export CHECKPOINT.pth model.onnx [--size WIDTH HEIGHT]
lors-det infer photographs/ --checkpoint model.onnx

Preprocessing and the choice of the best detections are inside; docs/export.md tells what goes in and what comes out.
Before the file is written, onnxruntime's detections are compared with torch's.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.cli import shared
from lors_det.errors import InputError
from lors_det.files import check_place


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="checkpoint file of a training; it carries its config")
    parser.add_argument("out", type=Path, help="file to write, NAME.onnx")
    parser.add_argument(
        "--size",
        nargs=2,
        type=int,
        metavar=("WIDTH", "HEIGHT"),
        help="pixels that images are scaled to fit into; those of the config's test pipeline by default",
    )
    parser.add_argument("--config", help="config of the model, for a checkpoint that carries none")
    parser.add_argument(
        "--names", nargs="+", action="extend", help="the model's classes in order, for a checkpoint without them"
    )
    shared.trust_argument(parser)


def main(args: Namespace) -> None:
    if args.size and min(args.size) < 1:
        raise InputError(f"--size {args.size[0]} {args.size[1]}: both must be at least 1")
    check_place(Path(args.out), ".onnx")
    from rich.console import Console

    from lors_det.inference.onnx.export import export
    from lors_det.inference.stored_model import load_stored_model

    stored = load_stored_model(args.checkpoint, config=args.config, names=args.names, trust=args.trust_checkpoint)
    words = f"writing {Path(args.out).name} and comparing it with torch: a minute or two ..."
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(words)
    with console.status(words):
        written = export(stored, args.out, fit=tuple(args.size) if args.size else None)
    width, height = written.input_size
    print(
        f"{written.path}: {written.num_bytes / 1e6:.1f} MB, any number of images of {width} x {height} pixels, "
        f"{len(written.facts.classes)} classes; onnxruntime and torch differ in {written.parity}"
    )
