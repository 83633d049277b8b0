"""Train LORS-AdaMixer on the synthetic shapes, evaluate it, and draw what it detects: the whole way in minutes.

Each step is a command that works by itself; they are printed as they run.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

from lors_det.plugin.config import load_config
from lors_det.plugin.summary import print_decoders

ROOT = Path(__file__).resolve().parent.parent
LORS = "configs/shapes/lors-adamixer_r18-half_16-query_5e_shapes.py"
ADAMIXER = "configs/shapes/adamixer_r18-half_16-query_5e_shapes.py"
WORK_DIR = Path("work_dirs/demo")


def run(*command: str | Path) -> None:
    """Run a tool of this repository, and end with its status if it fails."""
    words = [str(word) for word in command]
    print(f"\n$ python {shlex.join(words)}", flush=True)
    status = subprocess.run([sys.executable, *words], cwd=ROOT).returncode
    if status:
        sys.exit(status)


def main() -> None:
    start = time.monotonic()
    run("tools/make_shapes.py", "data/shapes")
    print_decoders({"LORS-AdaMixer": load_config(ROOT / LORS), "AdaMixer": load_config(ROOT / ADAMIXER)})
    run("tools/train.py", LORS, "--work-dir", WORK_DIR)
    checkpoint = (ROOT / WORK_DIR / "last_checkpoint").read_text().strip()
    predictions, sheet, curves = (WORK_DIR / name for name in ("predictions.pkl", "detections.png", "curves.png"))
    run("tools/test.py", LORS, checkpoint, "--work-dir", WORK_DIR, "--out", predictions)
    run("tools/analysis/draw_sheet.py", LORS, predictions, sheet)
    run("tools/analysis/plot_curves.py", WORK_DIR, curves)
    metrics = max((ROOT / WORK_DIR).glob("*/*.json"), key=lambda path: path.stat().st_mtime)
    ap = json.loads(metrics.read_text())["coco/bbox_mAP"]
    print(f"\n{time.monotonic() - start:.0f} seconds")
    print(f"demo: coco/bbox_mAP={ap:.3f} pictures: {ROOT / sheet} {ROOT / curves}")


if __name__ == "__main__":
    main()
