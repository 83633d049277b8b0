"""Time this project's operations against plain ones, in turns in one process; errors are compared before.

python tools/benchmark_ops.py                       # on the CPU: B=1 Q=100, and B=2 Q=300
python tools/benchmark_ops.py --device cuda --dtype bfloat16 --json
python tools/benchmark_ops.py --only mixing --pairs 1x100 1x300

Ratios are ours to plain, the median over the rounds with its quartiles; "saved" is what the backward pass keeps beside
parameters and inputs, "operations" how many a call dispatches, "errors" are relative to float64: all as ours / plain.
"""

from __future__ import annotations

import json
import statistics
import sys
from argparse import ArgumentParser, Namespace

import torch
from rich.console import Console
from rich.table import Table

from lors_det.benchmark.cases import cases

SLACK = 3.0
"""Our error against float64 may be this many times that of plain operations."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--pairs", nargs="+", default=["1x100", "2x300"], help="images x queries")
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=15, help="timed calls of each")
    parser.add_argument("--threads", type=int, help="threads of torch on the CPU")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def main(args: Namespace) -> None:
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("error: --device cuda needs a GPU, and torch sees none")
    try:
        pairs = [(int(images), int(queries)) for images, queries in (pair.split("x") for pair in args.pairs)]
    except ValueError:
        sys.exit(f"error: --pairs takes images x queries, for example 1x100 2x300, and not {' '.join(args.pairs)}")
    results = {}
    for case, exact in zip(cases(device, getattr(torch, args.dtype), pairs), cases(device, torch.float64, pairs)):
        if args.only and args.only not in case.name:
            continue
        ours, plain = case.errors(exact)
        if ours > SLACK * plain + torch.finfo(getattr(torch, args.dtype)).eps:
            sys.exit(f"error: {case.name}: our error is {ours:.1e}, that of plain operations {plain:.1e}; not timed")
        found = case.measure(args.rounds, device)
        results[case.name] = dict(
            ratio=round(found.ratio, 3),
            quartiles=[round(value, 3) for value in found.spread],
            ours_ms=round(1e3 * statistics.median(found.ours), 3),
            plain_ms=round(1e3 * statistics.median(found.plain), 3),
            saved_bytes=found.saved,
            operations=found.operations,
            errors=(ours, plain),
        )
        print(f"{case.name}: {results[case.name]['ratio']}", file=sys.stderr, flush=True)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    if args.json:
        print(json.dumps({"device": where, "dtype": args.dtype, "torch": torch.__version__, "cases": results}))
    else:
        show(results, f"{where}, {args.dtype}, torch {torch.__version__}")


def show(results: dict[str, dict], title: str) -> None:
    """A table for people."""
    table = Table(title=title)
    for column in ("", "ours / plain", "quartiles", "ours, ms", "plain, ms", "saved, MB", "operations", "errors"):
        table.add_column(column, justify="right" if column else "left")
    for name, found in results.items():
        saved, operations = ([*map(str, found[key])] for key in ("saved_bytes", "operations"))
        saved = [f"{int(value) / 1e6:.1f}" for value in saved]
        quartiles = " to ".join(f"{value:.2f}" for value in found["quartiles"])
        cells = (f"{found['ratio']:.2f}", quartiles, f"{found['ours_ms']:.2f}", f"{found['plain_ms']:.2f}")
        table.add_row(
            name,
            *cells,
            " / ".join(saved),
            " / ".join(operations),
            " / ".join(f"{error:.0e}" for error in found["errors"]),
        )
    Console(width=140).print(table)
