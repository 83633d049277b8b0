"""Draw a sheet of test images, ground truth beside detections.

lors-det test CONFIG CHECKPOINT --out predictions.pkl
lors-det draw-sheet CONFIG predictions.pkl sheet.png

The predictions may be of the test split or of val; of another folder's (test --data) with the config that the test left
in its work dir, CONFIG_test.py.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.errors import InputError
from lors_det.files import check_place


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", help="config file of the test; of test --data, the CONFIG_test.py of its work dir")
    parser.add_argument("predictions", help="file that lors-det test --out wrote")
    parser.add_argument("out", type=Path, help="PNG file to write")
    parser.add_argument("--num-images", type=int, default=12, help="spread evenly over the set; %(default)s")
    parser.add_argument("--score-threshold", type=float, default=0.3, help="draw what scores as much; %(default)s")


def main(args: Namespace) -> None:
    check_place(args.out, ".png")
    if args.num_images < 1:
        raise InputError(f"--num-images is {args.num_images}; it must be at least 1")
    if not 0 <= args.score_threshold <= 1:
        raise InputError(f"--score-threshold is {args.score_threshold}; it must be between 0 and 1")
    from lors_det.plugin.config.reading import load_config
    from lors_det.reports.detection_sheet import detection_sheet
    from lors_det.reports.predictions import read_predictions, set_of

    predictions = read_predictions(args.predictions)
    dataset = set_of(predictions, load_config(args.config))
    detection_sheet(
        dataset,
        predictions,
        args.out,
        num_images=args.num_images,
        score_threshold=args.score_threshold,
    )
    print(f"wrote {args.out}")
