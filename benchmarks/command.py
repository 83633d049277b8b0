"""Time this project's operations against the published ones, in turns in one process.

python -m benchmarks                                # on the CPU: B=1 Q=100, and B=2 Q=300; five minutes on two cores
python -m benchmarks --device cuda --dtype bfloat16 --json
python -m benchmarks --only mixing --pairs 1x100 1x300

Before a case is timed, each output and gradient of both is compared with float64, and ours is refused if one errs
more; a row is printed when its case is done. Ratios are ours / baseline, the median over the rounds, then the
quartiles; "saved" is what the backward pass keeps beside weights and inputs, "operations" how many a call dispatches,
"errors" are relative to float64, the mean over outputs and gradients: all as ours / baseline.
"""

from __future__ import annotations

import json
import statistics
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

import torch

from benchmarks.case import Examination
from benchmarks.cases import cases
from benchmarks.timing import MIN_ROUNDS, Comparison, Effort
from lors_det.errors import InputError
from lors_det.inference.device import find_device

ROW = "{:<29} {:>5}  {:>13} {:>6} {:>16} {:>15} {:>11} {:>13}"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32")
    parser.add_argument("--pairs", nargs="+", default=["1x100", "2x300"], help="images x queries")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains this")
    parser.add_argument(
        "--seconds", type=float, default=8.0, help=f"time for a case's rounds, {MIN_ROUNDS} or more (default 8)"
    )
    parser.add_argument("--rounds", type=int, help="timed calls of each, instead of --seconds")
    parser.add_argument("--threads", type=int, help="threads of torch on the CPU")
    parser.add_argument("--json", action="store_true", help="print one JSON object; rows go to stderr")


def main(args: Namespace) -> None:
    device, pairs = _checked_device(args.device), [_checked_pair(pair) for pair in args.pairs]
    for name in ("seconds", "rounds", "threads"):
        if (value := getattr(args, name)) is not None and not value > 0:
            raise InputError(f"--{name} is {value}; it must be positive")
    if args.threads:
        torch.set_num_threads(args.threads)
    dtype = getattr(torch, args.dtype)
    makers = cases(device, dtype, pairs)
    chosen = {name: make for name, make in makers.items() if args.only in name}
    if not chosen:
        raise InputError(f"--only {args.only!r} is in no case's name; there are: {'; '.join(makers)}")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    rows = sys.stderr if args.json else sys.stdout
    print(f"{where}, {args.dtype}, torch {torch.__version__}", file=rows)
    header = ("", "ratio", "quartiles", "rounds", "ms", "saved, MB", "operations", "errors")
    print(ROW.format(*header), file=rows, flush=True)
    results = {}
    for name, make in chosen.items():
        case = make()
        examined = _checked(name, case.examine(), dtype)
        results[name] = _as_json(case.measure(Effort(args.seconds, args.rounds), device), examined)
        print(_row(name, results[name]), file=rows, flush=True)
    if args.json:
        print(json.dumps({"device": where, "dtype": args.dtype, "torch": torch.__version__, "cases": results}))


def _checked_device(name: str) -> torch.device:
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise InputError(f"--device is {name}; it must be cpu or cuda")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {name} needs a GPU, and torch sees none; leave it out to measure on the CPU")
    return find_device(name)


def _checked_pair(pair: str) -> tuple[int, int]:
    """(B, Q)."""
    parts = pair.split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise InputError(f"--pairs takes images x queries, for example 1x100 2x300, and not {pair}")
    return int(parts[0]), int(parts[1])


def _checked(name: str, examined: Examination, dtype: torch.dtype) -> Examination:
    tensors = zip(examined.ours, examined.baseline, examined.allowed)
    for number, (ours, baseline, allowed) in enumerate(tensors, start=1):
        if not ours <= allowed + torch.finfo(dtype).eps:  # so that what is not a number is refused
            which = f"result {number} of {len(examined.ours)}"
            raise InputError(f"{name}: our error in {which} is {ours:.1e}, the baseline's {baseline:.1e}; not timed")
    ours, baseline = examined.errors
    if not ours <= examined.allowed_mean + torch.finfo(dtype).eps:
        raise InputError(f"{name}: our mean error is {ours:.1e}, the baseline's {baseline:.1e}; not timed")
    return examined


def _as_json(found: Comparison, examined: Examination) -> dict[str, Any]:
    return dict(
        ratio=round(found.ratio, 3),
        quartiles=[round(value, 3) for value in found.quartiles],
        rounds=len(found.ours),
        ours_ms=round(1e3 * statistics.median(found.ours), 3),
        baseline_ms=round(1e3 * statistics.median(found.baseline), 3),
        saved_bytes=[counts.saved for counts in examined.counts],
        operations=[counts.operations for counts in examined.counts],
        errors=examined.errors,
    )


def _row(name: str, found: dict[str, Any]) -> str:
    """A line for people, under the header."""
    return ROW.format(
        name,
        f"{found['ratio']:.2f}",
        " to ".join(f"{value:.2f}" for value in found["quartiles"]),
        found["rounds"],
        f"{found['ours_ms']:.1f} / {found['baseline_ms']:.1f}",
        " / ".join(f"{value / 1e6:.1f}" for value in found["saved_bytes"]),
        " / ".join(map(str, found["operations"])),
        " / ".join(f"{error:.0e}" for error in found["errors"]),
    )
