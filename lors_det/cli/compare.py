"""Set models side by side: parameters, arithmetic, and the AP of finished runs, as a Markdown table.

python tools/analysis/compare.py configs/ablations/*_1x_coco.py
python tools/analysis/compare.py configs/ablations/*_bccd.py --shape 192 256 --runs work_dirs/study

RUNS/<config> is a run's work dir, or holds several of them, of several seeds, whose mean and standard deviation are
shown. GMACs are those of count_flops.py.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmengine.config import DictAction

from lors_det.errors import InputError
from lors_det.plugin.comparison import comparison
from lors_det.plugin.config import load_config


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("configs", nargs="+", type=Path, help="config files")
    parser.add_argument(
        "--shape", nargs=2, type=int, default=(800, 1280), metavar=("HEIGHT", "WIDTH"), help="padded image, pixels"
    )
    parser.add_argument("--runs", type=Path, help="folder of the runs; without it the table has no AP")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, help="override values of all configs")


def main(args: Namespace) -> None:
    configs = {path.stem: load_config(path, args.cfg_options) for path in args.configs}
    if len(configs) < len(args.configs):
        raise InputError("two configs have the same name")
    print(comparison(configs, *args.shape, args.runs))
