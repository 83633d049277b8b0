"""Download COCO 2017 where it is missing, go on where a former try stopped, and check all of it.

lors-det prepare-coco                     # to data/coco, where the configs look for it
lors-det prepare-coco /disk/coco          # then: ln -s /disk/coco data/coco
lors-det prepare-coco --check             # nothing is downloaded
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.data.coco.download import SOURCE, check_coco, prepare_coco


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("root", type=Path, nargs="?", default=Path("data/coco"), metavar="DIR", help="%(default)s")
    parser.add_argument("--check", action="store_true", help="only see whether all is there")
    parser.add_argument("--source", default=SOURCE, metavar="URL", help="a mirror; by default %(default)s")


def main(args: Namespace) -> None:
    if args.check:
        for words in check_coco(args.root):
            print(words)
    else:
        prepare_coco(args.root, source=args.source.rstrip("/"))
    print(f"{args.root} is whole; next: lors-det train lors_det::lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py")
