"""Plot the losses and the AP of a run over its iterations.

python tools/analysis/plot_curves.py WORK_DIR curves.png
"""

from __future__ import annotations

import argparse

from lors_det.plugin import cli
from lors_det.plugin.pictures import training_curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work_dir", help="folder of a run")
    parser.add_argument("out", help="PNG file to write")
    args = parser.parse_args()
    training_curves(args.work_dir, args.out)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    cli.run(main)
