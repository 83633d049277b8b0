"""Run a study and write its table: configs, with values, on sets, from seeds, as a YAML file says.

lors-det study docs/studies/base-rate.yaml --jobs 2
lors-det study docs/studies/base-rate.yaml --only 'bccd/*'    # these first
lors-det study docs/studies/base-rate.yaml --report    # of what there is; nothing is run

Beside FILE.yaml, in the folder FILE: results.json, of all runs; README.md, tables; ap.png, AP against parameters. What
results.json has is not run again, and a run that was stopped goes on. The file's form: lors_det/studies/reading.py.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lors_det.cli.shared import named
from lors_det.errors import InputError
from lors_det.files import check_folder, write_whole
from lors_det.signals import ended_by_signals
from lors_det.studies.reading import read_study
from lors_det.studies.results import read_results

_PICTURE = "![AP against parameters](ap.png)"
"""By which a report is known."""

_ONLY = "run these alone, by name, SET/ARM/seedN, with * for anything: 'bccd/*'"


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=named, help="the study, a YAML file")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, which share the cores; 1")
    parser.add_argument("--only", nargs="+", action="extend", default=[], metavar="RUN", help=_ONLY)
    parser.add_argument("--out", type=named, help="folder of results, table and picture; by default the file's name")
    parser.add_argument("--work-dir", type=named, help="folder of the runs; work_dirs/studies/NAME by default")
    parser.add_argument("--again", action="store_true", help="run again what was run, or begun, of other values")
    parser.add_argument("--report", action="store_true", help="write table and picture of the results that there are")


def main(args: Namespace) -> None:
    if args.jobs < 1:
        raise InputError(f"--jobs {args.jobs}: it must be at least 1")
    if not args.file.suffix:
        raise InputError(
            f"study {args.file} has no suffix; name it {args.file.name}.yaml, as its results have its name"
        )
    of_running = {"--only": args.only, "--again": args.again, "--work-dir": args.work_dir, "--jobs": args.jobs != 1}
    if args.report and (given := [option for option, value in of_running.items() if value]):
        raise InputError(f"--report runs nothing, and writes all results that there are; leave {given[0]} out")
    study = read_study(args.file)
    out = args.out or args.file.with_suffix("")
    check_folder(out)
    _check_own(out / "README.md")
    from lors_det.studies.figure import draw_study
    from lors_det.studies.fingerprints import Fingerprints
    from lors_det.studies.running import changed_results, chosen, run_study
    from lors_det.studies.table import report

    if args.report:
        results = read_results(out / "results.json")
        if changed := Fingerprints(study, needed=()).changed(results):
            raise changed_results(out / "results.json", changed, "--again, without --report, runs them again")
    else:
        place = args.work_dir or Path("work_dirs/studies", args.file.stem)
        with ended_by_signals():
            results = run_study(study, out, place, jobs=args.jobs, only=args.only, again=args.again)
    results = {run: results[run] for run in study.runs() if run in results}
    if not results:
        raise InputError(f"study {args.file} has no result yet")
    text = report(study, results)
    page = f"# {args.file.stem}\n\n{text}\n{_PICTURE}\n"
    write_whole(out / "README.md", lambda file: file.write(page.encode()))
    draw_study(study, results, out / "ap.png")
    print(text)
    if not args.report and any(run not in results for run in chosen(study, args.only)):
        sys.exit(1)


def _check_own(page: Path) -> None:
    """Refuse to write over a page that is another's, such as a project's own.

    Raises:
        InputError: if there is one.
    """
    if page.exists() and not (page.is_file() and _PICTURE in page.read_text(encoding="utf-8", errors="replace")):
        raise InputError(f"{page} is no study's report, and would be lost; name another folder: --out")
