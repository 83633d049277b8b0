"""Detect objects in images, folders, videos, cameras and streams; a checkpoint of a training is all that is needed.

lors-det infer photos/ film.mp4 "more/**/*.jpg" --checkpoint best.pth --out found
lors-det infer photos/ --checkpoint best.pth --no-pictures --json results.json --annotations val.json
lors-det infer photos/ --checkpoint best.pth --yolo-labels labels --score-threshold 0.5
lors-det infer camera:0 --checkpoint best.pth --out found        (or rtsp://...; Ctrl-C ends it)

Pictures and videos with boxes get the inputs' names below --out. An image that cannot be read is named and skipped, and
the exit status is then 1.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lors_det.cli import shared
from lors_det.data.words import counted
from lors_det.errors import INTERRUPTED, TERMINATED, InputError, Terminated
from lors_det.files import check_folder, check_place

if TYPE_CHECKING:
    from lors_det.inference import Detector, TiledDetector
    from lors_det.inference.coco_results import CocoResults
    from lors_det.inference.run import InferenceRun
    from lors_det.inference.sources import Source
    from lors_det.inference.yolo_labels import YoloLabels

DRAWN = 0.3
"""Score from which detections are drawn, and written where no evaluation is meant."""

TILE_OVERLAP = 0.2
"""Of neighbouring tiles."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        type=shared.given,
        metavar="INPUT",
        help='image, folder (with those inside), pattern such as "a/**/*.jpg", video, camera:0, or a stream\'s address',
    )
    parser.add_argument(
        "--checkpoint",
        type=shared.given,
        required=True,
        help="checkpoint file of a training, or what export wrote of one",
    )
    parser.add_argument("--config", type=shared.given, help="config of the model, for a checkpoint that carries none")
    parser.add_argument(
        "--names", nargs="+", action="extend", help="the model's classes in order, for a checkpoint without them"
    )
    parser.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help="unpickle the checkpoint whole, and import and build what its config names: code that is there may run",
    )
    parser.add_argument(
        "--out", type=shared.given, default="found", help="folder of pictures and videos with boxes; %(default)s"
    )
    parser.add_argument("--no-pictures", action="store_true", help="draw nothing")
    parser.add_argument("--json", type=shared.given, help="write the detections to this file, in COCO's format")
    parser.add_argument(
        "--yolo-labels", type=shared.named, metavar="DIR", help="write YOLO label files, one an image, to a new folder"
    )
    parser.add_argument(
        "--annotations",
        type=shared.given,
        help="COCO annotation file: the JSON is a list of results with its ids, and the AP is said",
    )
    parser.add_argument(
        "--score-threshold",
        type=float,
        help=f"leave out what scores less; {DRAWN} by default, and with --annotations 0 for the JSON, as AP wants it",
    )
    parser.add_argument(
        "--classes", nargs="+", action="extend", metavar="NAME", help="classes to detect; all by default"
    )
    parser.add_argument("--batch-size", type=int, default=1, help="images that are computed together; %(default)s")
    parser.add_argument(
        "--image-side", type=int, metavar="PIXELS", help="scale images to this long side, not to that of the training"
    )
    parser.add_argument(
        "--frame-step", type=int, default=1, metavar="N", help="look at every Nth frame of videos; %(default)s"
    )
    parser.add_argument("--device", help="such as cpu or cuda:1; the GPU by default, where there is one")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation: merge with the flipped image")
    parser.add_argument("--tile", type=int, metavar="PIXELS", help="look at tiles of this size too, for small objects")
    parser.add_argument("--tile-overlap", type=float, help=f"share of a tile; {TILE_OVERLAP}")
    parser.add_argument("--strict", action="store_true", help="end at the first image that cannot be read")
    parser.add_argument("--quiet", action="store_true", help="no progress line, no summary")


def main(args: Namespace) -> None:
    _check(args)
    _hush()
    from lors_det.inference import passed_over
    from lors_det.inference.progress import progress_bar
    from lors_det.inference.run import InferenceRun, check_outputs
    from lors_det.inference.sources import count_images, find_sources
    from lors_det.inference.terminable import terminable

    out = None if args.no_pictures else Path(args.out)
    left_out = passed_over.pictures_to_leave_out(args.inputs, Path(args.out), drawn=out is not None)
    find = partial(find_sources, args.inputs, leave_out=left_out)  # one after the other: there may be millions
    sources = find()
    if out is not None:
        check_outputs(out, find())
    _check_images(args, find)
    drawn = DRAWN if args.score_threshold is None else args.score_threshold
    written = 0.0 if args.score_threshold is None and args.annotations else drawn
    detector = _detector(args, score_threshold=written if args.json else drawn)
    if not args.quiet:
        for note in passed_over.notes(args.inputs, left_out, drawn=out is not None):
            print(f"note: {note}", file=sys.stderr)
    bar = progress_bar(quiet=args.quiet)
    failures = _Failures(strict=args.strict)
    results = _results(args, detector.classes, find, score_threshold=written) if args.json else None
    labels = _labels(args, detector.classes, find, out) if args.yolo_labels else None
    total = None if args.quiet else count_images(find(), frame_step=args.frame_step)
    with terminable(), ExitStack() as open_files:
        for files in (results, labels):
            if files is not None:
                open_files.enter_context(files)
        open_files.enter_context(bar)
        task = bar.add_task("images", total=total)
        run = InferenceRun(
            detector,
            batch_size=args.batch_size,
            frame_step=args.frame_step,
            pictures=out,
            score_threshold=drawn,
            results=results,
            labels=labels,
            done=lambda number: bar.advance(task, number),
            failed=failures,
        )
        try:
            run.process(sources)
            bar.update(task, total=bar.tasks[task].completed)  # a video may have other frames than it says
        except KeyboardInterrupt as interrupt:  # how a camera ends; what was found is written
            failures.status = TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED
    if failures.ended_early:
        of_all = f" of {total}" if total is not None else ""
        done = f"{counted(run.num_images, 'image')}{of_all}"
        print(f"ended early, after {done}; what is written is of these alone", file=sys.stderr)
    if not args.quiet:
        _summarise(args, run, results, failures)
        if args.annotations and not failures.ended_early:
            _say_score(args, detector.classes)
    if failures.status:
        sys.exit(failures.status)


class _Failures:
    """What could not be read: named at once, counted for the exit status."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.number = 0
        self.status = 0

    @property
    def ended_early(self) -> bool:
        return self.status in (INTERRUPTED, TERMINATED)

    def __call__(self, error: InputError) -> None:
        if self.strict:
            raise error
        self.number += 1
        self.status = 1
        with suppress(BrokenPipeError):  # who read it went away; what is found is not lost for it
            print(f"skipped: {error}", file=sys.stderr)


def _hush() -> None:
    """Have OpenCV and FFmpeg print nothing of what they cannot read: this command says it once, by name."""
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(0)


def _check(args: Namespace) -> None:
    if args.no_pictures and not (args.json or args.yolo_labels):
        raise InputError(
            "--no-pictures without --json or --yolo-labels leaves nothing to write; name a file: --json FILE"
        )
    if args.annotations and not args.json:
        raise InputError("--annotations is for the ids of --json; name a file: --json FILE")
    for option, value in (("--batch-size", args.batch_size), ("--frame-step", args.frame_step)):
        if value < 1:
            raise InputError(f"{option} is {value}; it must be at least 1")
    if args.tile_overlap is not None and args.tile is None:
        raise InputError(
            "--tile-overlap is of tiles, and there are none without --tile; name their size: --tile PIXELS"
        )
    if args.score_threshold is not None and not 0 <= args.score_threshold <= 1:
        raise InputError(f"--score-threshold is {args.score_threshold}; it must be between 0 and 1")
    if not args.no_pictures:
        check_folder(Path(args.out))
    if args.json:
        check_place(Path(args.json), ".json")
    if args.yolo_labels:
        from lors_det.inference.yolo_labels import check_new

        check_new(Path(args.yolo_labels))


def _detector(args: Namespace, *, score_threshold: float) -> Detector | TiledDetector:
    from lors_det.inference import Detector, TiledDetector

    detector = Detector.from_checkpoint(
        args.checkpoint,
        device=args.device,
        score_threshold=score_threshold,
        classes=args.classes,
        tta=args.tta,
        image_side=args.image_side,
        config=args.config,
        names=args.names,
        trust=args.trust_checkpoint,
    )
    if args.tile is None:
        return detector
    overlap = TILE_OVERLAP if args.tile_overlap is None else args.tile_overlap
    return TiledDetector(detector, tile=args.tile, overlap=overlap, batch_size=args.batch_size)


def _check_images(args: Namespace, find: Callable[[], Iterator[Source]]) -> None:
    of_images = {"--annotations gives ids to": args.annotations, "--yolo-labels writes files of": args.yolo_labels}
    for words in (words for words, value in of_images.items() if value):
        if any(source.kind != "image" for source in find()):
            raise InputError(f"{words} images, and there is a video among the inputs")


def _results(
    args: Namespace, classes: Sequence[str], find: Callable[[], Iterator[Source]], *, score_threshold: float
) -> CocoResults:
    from lors_det.inference.coco_results import CocoResults

    truth = Path(args.annotations) if args.annotations else None
    results = CocoResults(Path(args.json), classes, annotations=truth, score_threshold=score_threshold)
    if truth is not None:
        results.check_distinct(Path(str(source.where)) for source in find())
    return results


def _labels(
    args: Namespace, classes: Sequence[str], find: Callable[[], Iterator[Source]], out: Path | None
) -> YoloLabels:
    from lors_det.inference.run import mark
    from lors_det.inference.yolo_labels import YoloLabels

    if out is not None and out.resolve() in Path(args.yolo_labels).resolve().parents:
        mark(out)  # before labels are in it
    return YoloLabels(Path(args.yolo_labels), classes, (Path(source.name) for source in find()))


def _say_score(args: Namespace, classes: Sequence[str]) -> None:
    from lors_det.inference.scoring import score

    names = [name for name in classes if args.classes is None or name in args.classes]
    figures = score(
        Path(args.json), Path(args.annotations), names, lambda words: print(f"warning: {words}", file=sys.stderr)
    )
    if figures is None:
        print(f"note: {args.annotations} has no boxes of these classes, so that there is no AP", file=sys.stderr)
        return
    words = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if value >= 0)
    left_out = f", without what scores less than {args.score_threshold:g}" if args.score_threshold else ""
    print(f"{words}{left_out}")


def _summarise(args: Namespace, run: InferenceRun, results: CocoResults | None, failures: _Failures) -> None:
    places = [str(place) for place in (None if args.no_pictures else args.out, args.json, args.yolo_labels) if place]
    skipped = f", {failures.number} skipped" if failures.number else ""
    found = f"{counted(run.num_found, 'object')} in {counted(run.num_images, 'image')}"
    hint = f"; none scores {run.score_threshold:g}, which --score-threshold lowers"
    print(f"{found}{skipped}, written to {', '.join(places)}{hint if run.num_images and not run.num_found else ''}")
    if results is not None and results.num_left_out:
        print(
            f"warning: {counted(results.num_left_out, 'image')} of {args.annotations} without detections, not among "
            "the inputs or skipped; an evaluation counts their objects as missed",
            file=sys.stderr,
        )
