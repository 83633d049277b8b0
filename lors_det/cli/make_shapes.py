"""Generate the synthetic detection set (COCO format).

lors-det make-shapes [FOLDER]
lors-det make-shapes data/crowded-shapes --crowded --image-size 192
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.cli.shared import named
from lors_det.data.shapes import generate_shapes
from lors_det.signals import ended_by_signals


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "out", nargs="?", type=named, default=Path("data/shapes"), help="folder of the set; %(default)s"
    )
    parser.add_argument("--num-train", type=int, default=2000, help="images of the split train; %(default)s")
    parser.add_argument("--num-val", type=int, default=250, help="images of the split val; %(default)s")
    parser.add_argument("--image-size", type=int, default=128, help="side of the square images in pixels; %(default)s")
    parser.add_argument(
        "--crowded", action="store_true", help="a harder set: 48 classes, up to 24 objects, that hide one another"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other images; %(default)s")


def main(args: Namespace) -> None:
    with ended_by_signals():  # a set begun is cleared away
        generate_shapes(
            args.out,
            num_train=args.num_train,
            num_val=args.num_val,
            image_size=args.image_size,
            seed=args.seed,
            crowded=args.crowded,
        )
    print(f"{args.out}: {args.num_train} train and {args.num_val} val images")
