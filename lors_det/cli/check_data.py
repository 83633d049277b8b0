"""Check a data set before training on it.

lors-det check-data FOLDER_OR_CONFIG

A folder is read in whatever form it lies (COCO, Pascal VOC, YOLO); of a config, the annotation files of its
dataloaders. Classes, image files, sizes, boxes, duplicates and leaks between splits are looked at, and whether a
detector does well that puts the same box into every image. Errors must be mended before training makes sense, warnings
may spoil figures, notes are for information.

Exit status: 0 without errors, 1 with errors, 2 if the data cannot be read at all. With --fix it is that of the repaired
copy.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from lors_det.cli import shared
from lors_det.data.doctor import Case, examine, open_case
from lors_det.data.doctor.examine import LEVELS
from lors_det.data.doctor.repaired_copy import check_apart, write_repaired
from lors_det.data.folder import read_folder, summary_rows
from lors_det.data.record import Finding
from lors_det.data.words import counted
from lors_det.errors import InputError
from lors_det.files import check_place
from lors_det.reports.folder_table import folder_table, folder_title

NUM_EXAMPLES = 3

_NOTHING_LEFT_OUT = (
    *("class-count", "class-missing", "class-names", "clipped", "missing-folder", "same-split", "size-differs"),
)
"""Kinds of readers' findings after which a copy lacks nothing that was found."""

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "data",
        type=shared.given,
        metavar="FOLDER_OR_CONFIG",
        help="a folder with a data set, or a config that names one",
    )
    parser.add_argument(
        "--fix",
        type=shared.named,
        metavar="OUT_DIR",
        help="write repaired annotations there; images stay where they are",
    )
    parser.add_argument(
        "--fix-classes", action="store_true", help="with --fix, also rename classes that are probably misspelt"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="draw classes, boxes and image sizes")
    parser.add_argument(
        "--samples",
        type=Path,
        metavar="FILE.png",
        help="draw training images with their boxes; of a config, as its pipeline gives them to the training",
    )
    parser.add_argument("--json", action="store_true", help="print all findings as JSON instead of tables")
    parser.add_argument("--strict", action="store_true", help="exit with 1 after a warning too, not after errors alone")
    parser.add_argument("--no-images", action="store_true", help="look at the annotations only, open no image")


def main(args: Namespace) -> None:
    if args.fix_classes and args.fix is None:
        raise InputError("--fix-classes renames classes in the repaired copy; add --fix OUT_DIR")
    for place in filter(None, (args.picture, args.samples)):
        check_place(place, ".png")
    if args.samples is not None and args.no_images:
        raise InputError("--samples draws images, and --no-images opens none")
    if args.fix is not None and not _is_config(args.data):
        check_apart(args.fix, Path(args.data))
    case = _open(args.data, with_images=not args.no_images)
    findings = examine(case)
    report: dict[str, Any] = {}
    if args.json:
        report = {"data": args.data, **_as_data(case, findings)}
    console = Console(width=None if sys.stdout.isatty() else 140, quiet=args.json, highlight=False)
    console.print(Text(folder_title(case.folder)), soft_wrap=True)
    console.print(folder_table(case.folder))
    if findings:
        console.print(_summary(findings))
    if args.picture is not None:
        from lors_det.reports.data_picture import data_picture  # Matplotlib takes a second

        data_picture(case, args.picture)
        console.print(f"picture: {args.picture}", soft_wrap=True)
    if args.samples is not None:
        console.print(_draw_samples(args.data, case, args.samples), soft_wrap=True)
    if args.fix is not None:
        case, actions = _fix(case, args.fix, args.fix_classes)
        findings = examine(case)
        report["repair"] = {
            "folder": str(args.fix),
            "actions": actions,
            **(_as_data(case, findings) if args.json else {}),
        }
        console.print(_repair_text(args.fix, case, actions, findings), soft_wrap=True)
    console.print(_verdict(findings, args), soft_wrap=True)
    if args.json:
        print(json.dumps(report, indent=1))
    fatal = ("error", "warning") if args.strict else ("error",)
    if any(finding.level in fatal for finding in findings):
        sys.exit(1)


def _is_config(data: str) -> bool:
    return not Path(data).is_dir() and (data.endswith(".py") or "::" in data)


def _draw_samples(data: str, case: Case, path: Path) -> str:
    """Draw training images; what was drawn, or why nothing was, in words: the report goes on."""
    from lors_det.reports.label_sheet import of_split, of_training
    from lors_det.reports.sheet import write_sheet

    if _is_config(data):
        from lors_det.plugin.config.data import build_training_set
        from lors_det.plugin.config.reading import load_config

        try:
            samples = list(of_training(build_training_set(load_config(data))))
        except (InputError, OSError) as error:
            return f"samples: none is drawn, {error}"
        title = "as the training gets them"
    else:
        split = next(iter(case.folder.splits.values()))
        samples, title = list(of_split(split)), f"{split.name}, as annotated"
    if not samples:
        return "samples: none is drawn, no image that can be read has a box"
    write_sheet(samples, path, f"{data}: {title}")
    return f"samples: {path}"


def _open(data: str, *, with_images: bool) -> Case:
    if _is_config(data):
        # the framework takes seconds, and a folder needs none of it
        from lors_det.plugin.config.reading import read_config
        from lors_det.reports.config_folder import config_folder, training_size

        cfg = read_config(data)
        folder, size = config_folder(cfg), training_size(cfg)
    else:
        folder, size = read_folder(Path(data)), None
    options: dict[str, Any] = {} if size is None else {"training_size": size}
    return open_case(folder, with_images=with_images, progress=_progress, **options)


def _progress(files: Iterable[Any], count: int) -> Iterable[Any]:
    console = Console(stderr=True)
    return track(files, "images", total=count, console=console, transient=True, disable=not console.is_terminal)


def _fix(case: Case, out: Path, fix_classes: bool) -> tuple[Case, list[str]]:
    """Write the repaired records; the repaired case, and what was done."""
    mended = write_repaired(case, out, fix_classes=fix_classes)
    met = {found.kind for found in case.folder.findings if found.level != "note"}
    left_out = sorted(met - set(_NOTHING_LEFT_OUT))
    by_reader = [f"what could not be read stays left out: {', '.join(left_out)}"] if left_out else []
    return mended.case, [*mended.actions, *by_reader]


def _as_data(case: Case, findings: tuple[Finding, ...]) -> dict[str, Any]:
    rows = summary_rows(case.folder)
    return {
        "form": case.folder.form,
        "classes": list(case.folder.classes),
        "splits": {
            name: {"images": images, "without_boxes": without, "boxes": boxes, "source": source}
            for name, images, without, boxes, source in rows
        },
        "findings": [asdict(finding) for finding in findings],
    }


def _summary(findings: tuple[Finding, ...]) -> Table:
    """Findings by level and kind, the worst and most frequent first."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.level, finding.kind), []).append(finding)
    table = Table(title="Findings", title_justify="left")
    for column in ("level", "kind", "count", "examples"):
        table.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
    for (level, kind), found in sorted(groups.items(), key=lambda item: (LEVELS.index(item[0][0]), -len(item[1]))):
        examples = [f"{each.where}: {each.what}" for each in found[:NUM_EXAMPLES]]
        more = [f"and {len(found) - NUM_EXAMPLES:,} more"] if len(found) > NUM_EXAMPLES else []
        remedy = [f"-> {found[0].remedy}"] if found[0].remedy else []
        table.add_row(
            Text(level, _STYLES[level]), kind, f"{len(found):,}", Text("\n".join([*examples, *more, *remedy]))
        )
    return table


def _repair_text(out: Path, case: Case, actions: list[str], findings: tuple[Finding, ...]) -> Text:
    lines = [f"Repaired copy in {out}:", *(f"  {action}" for action in actions or ["nothing had to be done"])]
    lines += [f"  {name}: {out / 'annotations' / name}.json" for name in case.folder.splits]
    lines += [
        f"File names in it are relative to that folder. Train on it with lors-det train CONFIG --data {out}",
        f'or, in a config: data_root="{out}/", ann_file="annotations/train.json", data_prefix=dict(img="")',
    ]
    kinds = {finding.kind: finding.level for finding in findings if finding.level != "note"}
    if kinds:
        lines.append(f"Left as they are: {', '.join(f'{kind} ({level})' for kind, level in kinds.items())}")
    return Text("\n".join(lines))


def _verdict(findings: tuple[Finding, ...], args: Namespace) -> Text:
    counts = {level: sum(finding.level == level for finding in findings) for level in LEVELS}
    place = "the repaired copy" if args.fix is not None else args.data
    if counts["error"]:
        kinds = ", ".join(dict.fromkeys(finding.kind for finding in findings if finding.level == "error"))
        advice = "" if args.fix is not None else "; --fix OUT_DIR mends what needs no look at the pictures"
        return Text(f"{place}: mend {kinds} first ({counted(counts['error'], 'error')}){advice}", _STYLES["error"])
    told = f", but mind {counted(counts['warning'], 'warning')}" if counts["warning"] else ""
    unseen = " (images were not looked at)" if args.no_images else ""
    return Text(f"{place}: training makes sense{told}{unseen}", "bold green")
