"""Choose the score from which on detections count: precision, recall and F1 at thresholds, each class's best.

lors-det test CONFIG CHECKPOINT --split val --out val.pkl
lors-det choose-threshold CONFIG val.pkl [--out curves.png]

A threshold is chosen on one split and measured on another, whose images had no say in it:

lors-det test CONFIG CHECKPOINT --out test.pkl
lors-det choose-threshold CONFIG test.pkl --score-threshold 0.42
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.errors import InputError
from lors_det.files import check_place


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", help="config file of the test; of test --data, the CONFIG_test.py of its work dir")
    parser.add_argument("predictions", help="file that lors-det test --out wrote")
    parser.add_argument("--iou", type=float, default=0.5, help="that a detection needs to be right; %(default)s")
    parser.add_argument("--score-threshold", type=float, help="measure this one; by default the best is looked for")
    parser.add_argument("--out", type=Path, help="PNG file of curves to write")


def main(args: Namespace) -> None:
    if not 0 < args.iou <= 1:
        raise InputError(f"--iou is {args.iou}; it must be above 0 and at most 1")
    if args.score_threshold is not None and not 0 <= args.score_threshold <= 1:
        raise InputError(f"--score-threshold is {args.score_threshold}; it must be between 0 and 1")
    if args.out:
        check_place(args.out, ".png")
    from rich.console import Console

    from lors_det.plugin.config.reading import load_config
    from lors_det.reports.matching import matches_of
    from lors_det.reports.operating_points import all_classes, curves, table_of
    from lors_det.reports.predictions import read_predictions, set_of

    predictions = read_predictions(args.predictions)
    matches = matches_of(set_of(predictions, load_config(args.config)), predictions, iou=args.iou)
    if not any(each.num_objects for each in matches.values()):
        raise InputError(
            f"the set of {args.predictions} has no box that counts, so that no detection is right; test the model on "
            "one that has, lors-det test --split val --out FILE, and name these predictions"
        )
    Console().print(table_of(matches, iou=args.iou, threshold=args.score_threshold))
    if args.score_threshold is None:
        best = all_classes(matches).best()
        if best.f1 > 0:
            print(f"most F1 with one threshold for all classes: --score-threshold {best.threshold:g}")
        else:
            print("no detection is right at any threshold from 0.01 to 0.99")
    if args.out:
        curves(matches, args.out, args.score_threshold)
        print(f"wrote {args.out}")
