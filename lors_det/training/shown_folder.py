"""A folder of data, read and shown as it was recognised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lors_det.data.doctor import check_headers, examine, open_case
from lors_det.data.doctor.case import TRAINING_SIZE
from lors_det.data.folder import read_folder
from lors_det.data.record import DataFolder, Finding
from lors_det.data.words import counted
from lors_det.errors import InputError
from lors_det.plugin.config.size_rules import image_side
from lors_det.processes import is_first_process
from lors_det.reports.folder_table import folder_table, folder_title

MAX_FINDINGS = 8
"""Findings of a kind that are listed one by one."""


def read_shown(
    data: str | Path | DataFolder, *, training_size: tuple[int, int] | None = None, quiet: bool = False
) -> DataFolder:
    """The folder; the first process prints as what it was recognised, and what is to know about it.

    That is what the readers met, and what the doctor finds without decoding the images, short of its notes. Of images
    whose annotated size is not their file's, training would learn boxes of another frame, so these are refused.

    Args:
        data: the folder, or what was read of it.
        training_size: width and height in pixels that images fit into; by default the side that would be chosen.
        quiet: print warnings alone.

    Raises:
        InputError: if it is in no known form, or has a fault with which training, or a test, makes no sense.
    """
    folder = data if isinstance(data, DataFolder) else read_folder(Path(data))
    place = folder.root if isinstance(data, DataFolder) else data
    side = image_side(folder.splits["train"].content)[0] if "train" in folder.splits else None
    size = training_size or ((side, side) if side else TRAINING_SIZE)
    case = open_case(folder, with_images=False, training_size=size)
    # YOLO's files state no sizes: its reader took them from the headers. Wrong sizes come first, as the cause of others
    findings = [*(check_headers(case) if folder.form != "YOLO" else ()), *examine(case)]
    if is_first_process():
        if not quiet:
            print(folder_title(folder))
            Console(width=120).print(folder_table(folder), highlight=False)
        notes = frozenset(() if quiet else folder.findings)
        for line in lines_of([each for each in findings if each.level != "note" or each in notes]):
            print(line)
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        raise InputError(
            f"{place} has {counted(len(errors), 'fault')} that must be mended first: {errors[0]}; "
            f"lors-det check-data {place} lists all, and with --fix OUT_DIR mends what needs no look at the pictures"
        )
    return folder


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """Findings as lines, the first few of each kind."""
    lines = []
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.kind] += 1
        if seen[finding.kind] <= MAX_FINDINGS:
            lines.append(f"{finding.level}: {finding}")
    lines += [f"{kind}: {count - MAX_FINDINGS} more" for kind, count in seen.items() if count > MAX_FINDINGS]
    return lines
