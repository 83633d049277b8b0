"""Download COCO 2017 where it is missing, go on where a former try stopped, and check all of it.

lors-det prepare-coco                     # to data/coco, where the configs look for it
lors-det prepare-coco /disk/coco          # then: ln -s /disk/coco data/coco
lors-det prepare-coco --check             # nothing is downloaded
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from shlex import quote

from lors_det.cli.shared import named
from lors_det.data.coco.download import SOURCE, prepare_coco
from lors_det.data.coco.published import check_coco

PLACE = Path("data/coco")
"""Where the configs look for COCO."""

CONFIG = "lors_det::lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("root", type=named, nargs="?", default=PLACE, metavar="DIR", help="%(default)s")
    parser.add_argument("--check", action="store_true", help="only see whether all is there")
    parser.add_argument("--source", default=SOURCE, metavar="URL", help="a mirror; by default %(default)s")


def main(args: Namespace) -> None:
    if args.check:
        for words in check_coco(args.root):
            print(words)
    else:
        prepare_coco(args.root, source=args.source.rstrip("/"))
    print(f"{args.root} has all of COCO 2017; next: {_link(args.root)}lors-det train {CONFIG}")


def _link(root: Path) -> str:
    """What makes the configs find COCO elsewhere; nothing where they look for it."""
    if root.resolve() == PLACE.resolve():
        return ""
    away = f"mv {PLACE} {PLACE}_other && " if PLACE.is_symlink() or PLACE.exists() else f"mkdir -p {PLACE.parent} && "
    return f"{away}ln -s {quote(str(root.resolve()))} {PLACE} && "
