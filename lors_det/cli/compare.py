"""Set models side by side: parameters, arithmetic, and the AP of finished runs, as a Markdown table.

lors-det compare configs/ablations/coco
lors-det compare configs/ablations/bccd --shape 192 256 --runs work_dirs

A folder stands for all of its configs. RUNS/<the config's path under configs/> is a run's work dir, as tools/train.py
names it, or holds several of them, of several seeds, whose mean and standard deviation are shown; the model is counted
as it was trained. GMACs are those of count-flops.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from lors_det.cli.shared import ConfigOptions, named, shape_argument
from lors_det.errors import InputError


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "configs",
        nargs="+",
        help="config files, or folders of them; where their data is not there, 80 classes are counted",
    )
    shape_argument(parser)
    parser.add_argument("--runs", type=named, help="folder of the runs; without it the table has no AP")
    parser.add_argument("--cfg-options", nargs="+", action=ConfigOptions, help="override values of all configs")


def main(args: Namespace) -> None:
    from lors_det.plugin.config.stand_in import load_without_data
    from lors_det.reports.comparison import comparison, find_configs

    if args.runs and args.cfg_options:
        raise InputError("--cfg-options would count other models than those of --runs; leave one of them out")
    said: list[str] = []
    configs = {
        name: load_without_data(path, args.cfg_options, say=said.append)
        for name, path in find_configs(args.configs).items()
    }
    for words in dict.fromkeys(said) if not args.runs else ():  # runs tell their classes
        print(words, file=sys.stderr)  # stdout is the table
    height, width = args.shape
    print(comparison(configs, height, width, args.runs))
