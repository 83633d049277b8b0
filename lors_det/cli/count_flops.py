"""Count the arithmetic of a config's model on one image, by component.

lors-det count-flops lors_det::lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py
lors-det count-flops CONFIG --shape 800 1280 --json

GFLOPs as detection papers state them are 10^9 multiply-accumulates, each of which torch counts as two operations; both
are printed. Counted are convolutions, matrix products and the sums of 3-D sampling; norms, activations and other
element-wise work are not. LORS is counted as it is evaluated, folded, which is the work of an AdaMixer of the same
shape; the last row is what correcting the weights takes, once in an evaluation, and once in a training step, whatever
its batch. All stages classify and regress, as in training; a detection needs the classes of the last stage alone.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from functools import partial

from rich.console import Console
from rich.table import Table

from lors_det.cli.shared import ConfigOptions, shape_argument

PUBLISHED = "AdaMixer's published figures are 103 (ResNet-50, 100 queries) and 125 to 132 (300 queries), in GMACs."


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", help="config file")
    shape_argument(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object; its values are multiply-accumulates"
    )
    parser.add_argument("--cfg-options", nargs="+", action=ConfigOptions, help="override values of the config")


def main(args: Namespace) -> None:
    from lors_det.plugin.config.stand_in import load_without_data
    from lors_det.reports.accounting import count_macs

    say = partial(print, file=sys.stderr)  # stdout may be JSON
    counts = count_macs(load_without_data(args.config, args.cfg_options, say=say), *args.shape)
    if args.json:
        print(json.dumps({"unit": "multiply-accumulates", **counts}))
        return
    table = Table(title=f"One image of {counts['height']} x {counts['width']} pixels")
    for column in ("", "GMACs (papers' GFLOPs)", "10^9 operations (torch)"):
        table.add_column(column, justify="right" if column else "left")
    names = {"backbone": "backbone", "neck": "neck", "selection": "selection of queries", "decoder": "decoder"}
    rows = {words: counts[name] for name, words in names.items() if name != "selection" or counts[name]}
    rows |= {f"  {name}": macs for name, macs in counts["components"].items()} | {"total": counts["total"]}
    if counts["correction"]:
        rows["correcting weights, once"] = counts["correction"]
    for name, macs in rows.items():
        table.add_row(name, f"{macs / 1e9:.3f}", f"{2 * macs / 1e9:.3f}")
    Console(width=110).print(table, PUBLISHED)
