"""Train LORS-AdaMixer on the synthetic shapes, evaluate it, and draw what it detects: the whole way in minutes.

lors-det demo [--work-dir FOLDER]

Each step is a command that works by itself; they are printed as they run. Data go to data/shapes, here.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.cli import shared

LORS = "lors_det::shapes/lors-adamixer_r18-half_16-query_5e_shapes.py"
OWN = "lors_det::finetune/lors-adamixer_mobilenetv2_100-query_finetune_own.py"
ADAMIXER = "lors_det::shapes/adamixer_r18-half_16-query_5e_shapes.py"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--work-dir", type=shared.named, default=Path("work_dirs/demo"), help="folder of the run; %(default)s"
    )


def main(args: Namespace) -> None:
    from lors_det.plugin.config.reading import load_config
    from lors_det.plugin.screen.words import duration
    from lors_det.reports.decoders import print_decoders

    start = time.monotonic()
    work_dir = args.work_dir
    _call("make-shapes", "data/shapes")
    print_decoders({"LORS-AdaMixer": load_config(LORS), "AdaMixer": load_config(ADAMIXER)})
    _call("train", LORS, "--work-dir", work_dir, "--resume")  # a demo that was interrupted goes on
    checkpoint = (work_dir / "last_checkpoint").read_text().strip()
    predictions, sheet, curves = (work_dir / name for name in ("predictions.pkl", "detections.png", "curves.png"))
    _call("test", LORS, checkpoint, "--work-dir", work_dir, "--out", predictions)
    _call("draw-sheet", LORS, predictions, sheet)
    _call("plot-curves", work_dir, curves)
    metrics = max(work_dir.glob("*/*.json"), key=lambda path: path.stat().st_mtime)
    ap = json.loads(metrics.read_text())["coco/bbox_mAP"]
    print(f"\nin {duration(time.monotonic() - start)}; on images of your own: lors-det train {OWN} --data DIR")
    print(f"demo: coco/bbox_mAP={ap:.3f} pictures: {sheet.absolute()} {curves.absolute()}")


def _call(*command: str | Path) -> None:
    """Run another command, and end with its status if it fails."""
    words = [str(word) for word in command]
    print(f"\n$ lors-det {shlex.join(words)}", flush=True)
    status = subprocess.run([sys.executable, "-m", "lors_det", *words]).returncode
    if status:
        sys.exit(status)
