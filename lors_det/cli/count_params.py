"""Count the parameters of a config's model: what stages share, what each has for itself, and the total.

lors-det count-params lors_det::lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py
lors-det count-params CONFIG --json
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from lors_det.cli.shared import ConfigOptions


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", help="config file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--cfg-options", nargs="+", action=ConfigOptions, help="override values of the config")


def main(args: Namespace) -> None:
    from lors_det.plugin.config.stand_in import load_without_data
    from lors_det.reports.accounting import count_parameters

    say = partial(print, file=sys.stderr)  # stdout may be JSON
    counts = count_parameters(load_without_data(args.config, args.cfg_options, say=say))
    if args.json:
        print(json.dumps(counts))
    else:
        show(counts)


def show(counts: dict[str, Any]) -> None:
    """Tables for people."""
    components = counts["components"]
    decoder = Table(title="Decoder parameters")
    for column in ("", *components, "total"):
        decoder.add_column(column, justify="right" if column else "left")
    rows: list[Sequence[int]] = [[part["shared"] for part in components.values()]]
    rows += zip(*(part["per_stage"] for part in components.values()))
    for number, row in enumerate(rows):
        name = f"stage {number - 1}" if number else "shared"
        decoder.add_row(name, *(f"{value:,}" for value in (*row, sum(row))))
    decoder.add_section()
    decoder.add_row("total", *(f"{sum(column):,}" for column in zip(*rows)), f"{counts['decoder']:,}")
    model = Table(title="Model parameters")
    model.add_column("")
    model.add_column("parameters", justify="right")
    for name in ("backbone", "neck", "queries", "decoder", "denoising", "model", "model_as_published"):
        if counts[name]:
            words = "denoising (training alone)" if name == "denoising" else name.replace("_", " ")
            model.add_row(words, f"{counts[name]:,}")
    console = Console(width=110)
    console.print(decoder, model)
    for name, words in (("same_shape", "of the same shape"), ("published_shape", "as published (G=4, P=32)")):
        baseline = counts.get(name)
        if baseline and baseline["reduction"]:
            change = f"{abs(baseline['reduction']):.1%} {'fewer' if baseline['reduction'] >= 0 else 'more'}"
            console.print(f"{change} than the AdaMixer decoder {words}, {baseline['decoder']:,}", highlight=False)
