"""What a run logged, as numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

from lors_det.errors import InputError


def read_scalars(work_dir: str | Path) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """What a run logged, in order: (training entries, validation entries).

    Each start of a run has a log of its own. A later one replaces what an earlier one logged from the same
    iteration on, as a run does that goes on from a checkpoint, or that starts anew.
    """
    train: list[dict[str, float]] = []
    val: list[dict[str, float]] = []
    for file in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        # a run that was killed may have left a last line without its end
        lines = enumerate(file.read_text(errors="replace").splitlines(), 1)
        entries = [_entry(file, number, line) for number, line in lines if line.endswith("}")]
        new_train = [entry for entry in entries if "loss" in entry]
        new_val = [entry for entry in entries if not math.isnan(entry.get("coco/bbox_mAP", math.nan))]
        if not new_train:
            # an evaluation; or the validation that a run had left to make, of an epoch that no other log has
            val += [entry for entry in new_val if train and entry["step"] > (val[-1]["step"] if val else 0)]
            continue
        if not all("iter" in entry for entry in new_train):
            raise InputError(f"log {file} has losses without their iteration, and is of another training loop")
        train = [entry for entry in train if entry["iter"] < new_train[0]["iter"]] + new_train
        start = new_train[0].get("epoch", new_train[0]["iter"])  # a training by iterations validates at these
        if new_val:  # the first may come before the first losses are logged
            start = min(start, new_val[0]["step"])
        val = [entry for entry in val if entry["step"] < start] + new_val
    if not train:
        raise InputError(f"{work_dir} holds no log of a training (*/vis_data/scalars.json); check the work dir")
    return train, val


def _entry(file: Path, number: int, line: str) -> dict[str, float]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"line {number} of log {file} is damaged ({error}); delete that line") from error
    if not isinstance(entry, dict):
        raise InputError(f"line {number} of log {file} holds no figures by name; delete that line")
    return entry
