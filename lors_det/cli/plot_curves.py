"""Plot the losses and the AP of a run over its iterations.

lors-det plot-curves WORK_DIR curves.png
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.files import check_place


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("work_dir", help="folder of a run")
    parser.add_argument("out", type=Path, help="PNG file to write")


def main(args: Namespace) -> None:
    check_place(args.out, ".png")
    from lors_det.reports.training_curves import training_curves

    training_curves(args.work_dir, args.out)
    print(f"wrote {args.out}")
