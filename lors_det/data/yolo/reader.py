"""YOLO sets: a text file of fractions beside each image, and a YAML file, a list or nothing that names the classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lors_det.data.images import displayed_sizes
from lors_det.data.labelled import Box, LabelledImage, splits_of
from lors_det.data.listing import Listing
from lors_det.data.record import DataFolder, Finding, Level
from lors_det.data.splits import SplitName, split_called
from lors_det.data.text import text_of
from lors_det.data.words import are, counted, have, listed
from lors_det.data.yolo.data_yaml import from_yaml, yaml_of
from lors_det.data.yolo.label_files import LabelFiles, of_two_images
from lors_det.data.yolo.labels import Fraction, LineError, parse_line
from lors_det.data.yolo.layout import Layout, from_folders
from lors_det.errors import InputError

_MANY = 0.1  # share of lines that are left out above which the form, and not a line, is wrong


def read_yaml_set(root: Path, listing: Listing) -> DataFolder | None:
    """The set that a YAML file in ``root`` describes; None where there is none.

    Raises:
        InputError: if the YAML file is malformed, or no image is found.
    """
    paths = yaml_of(root, listing)
    if not paths:
        return None
    findings = []
    if len(paths) > 1:
        others = ", ".join(path.name for path in paths[1:])
        what = f"describes the set, and {others} {'does' if len(paths) == 2 else 'do'} too"
        findings.append(Finding("two-files", "warning", paths[0].name, what, "name the file in place of the folder"))
    return read_yaml_file(paths[0], listing, findings)


def read_yaml_file(path: Path, listing: Listing, findings: list[Finding]) -> DataFolder:
    """The set that this YAML file describes.

    Raises:
        InputError: if it is malformed, or no image is found.
    """
    root = path.parent
    layout = from_yaml(path, listing, findings)
    if not any(layout.images.values()):
        raise InputError(f"{path} leads to no image: {'; '.join(map(str, findings[:3])) or 'its folder holds none'}")
    return _read(root, layout, listing, findings)


def read_folders(root: Path, listing: Listing) -> DataFolder | None:
    """A set without YAML: label files that belong to images below ``root``; None where there is no such file."""
    findings: list[Finding] = []
    layout = from_folders(root, listing, findings)
    search = LabelFiles(listing, layout.all_images())
    if not any(_looks_like_labels(path) for part in layout.images.values() for path in search.some(part)):
        return None
    return _read(root, layout, listing, findings)


def _looks_like_labels(path: str) -> bool:
    for line in text_of(Path(path).read_bytes(), errors="replace").splitlines():
        if line.strip():
            try:
                parse_line(line, num_classes=None)
            except LineError as error:
                return error.kind in ("predictions", "not-normalised")
            return True
    return False


def _without_image(root: Path, search: LabelFiles) -> Iterator[Finding]:
    """Of label files; a list of a split's images may lie beside them."""
    for path, unread in search.unused().items():
        where = os.path.relpath(path, root)
        if split_called(os.path.basename(path)[: -len(".txt")]) and not _looks_like_labels(path):
            continue
        if unread is None:
            yield Finding("no-image-of-label", "warning", where, "has no image", "add the image, or remove the file")
        else:
            what = f"its image is {os.path.relpath(unread, root)}, of a format that is not read, and left out"
            yield Finding("unread-format", "warning", where, what, "convert the image to JPEG or PNG")


def _passed_over(root: Path, search: LabelFiles) -> Iterator[Finding]:
    """Of label files that would be an image's, if those of the images beside it did not lie in another folder."""
    for images, labels, paths, are_most in search.passed_over():
        where, of, place = (os.path.relpath(path, root) for path in (paths[0], images, labels))
        others = f" and {counted(len(paths) - 1, 'file')} more" if len(paths) > 1 else ""
        what = f"{others} {are(len(paths))} not read: labels of images in {of} lie in {place}".strip()
        level: Level = "error" if are_most else "warning"
        yield Finding("label-elsewhere", level, where, what, f"if they are meant, move them to {place}")


def _fractions(path: str, where: str, layout: Layout, findings: list[Finding], counts: Counter[str]) -> list[Fraction]:
    """The usable objects of a label file; counts lines, and lines left out by the kind of their finding."""
    found = []
    num_classes = None if layout.names is None else len(layout.names)
    try:
        text = text_of(Path(path).read_bytes(), errors="replace")
    except OSError as error:
        findings.append(Finding("malformed-file", "warning", where, f"cannot be read ({error.strerror})"))
        return []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        counts["lines"] += 1
        try:
            fraction = parse_line(line, num_classes=num_classes, keypoints=layout.keypoints)
            found.append(fraction._replace(line=number))
        except LineError as error:
            counts[error.kind] += 1
            findings.append(Finding(error.kind, error.level, f"{where}, line {number}", str(error), error.remedy))
    counts["outlines"] += sum(fraction.outlined for fraction in found)
    return found


def _read(root: Path, layout: Layout, listing: Listing, findings: list[Finding]) -> DataFolder:
    search = LabelFiles(listing, layout.all_images())
    counts: Counter[str] = Counter()
    labelled: dict[SplitName, list[tuple[str, int, int, list[Fraction]]]] = {}
    unclear = of_two_images(root, layout, search, findings)
    for split, listed_paths in layout.images.items():
        without = []
        labelled[split] = []
        paths = [path for path in listed_paths if path not in unclear]
        for path, size in zip(paths, displayed_sizes(paths)):
            label = search.of(path)
            if isinstance(size, InputError):
                what = f"{size}".removeprefix(f"{path} ")
                findings.append(Finding("unreadable-image", "warning", os.path.relpath(path, root), what))
                continue
            fractions = []
            if label is None:
                without.append(os.path.relpath(path, root))
            else:
                fractions = _fractions(label, os.path.relpath(label, root), layout, findings, counts)
            labelled[split].append((path, *size, fractions))
        if without:
            some = ", ".join(without[:3]) + (", ..." if len(without) > 3 else "")
            what = f"{len(without):,} of {counted(len(paths), 'image')} {have(len(without))} no label file ({some})"
            remedy = "used as without objects: check that none of them shows what is to be found"
            findings.append(Finding("no-label", "note", split, what, remedy))
    findings += [*_without_image(root, search), *_passed_over(root, search)]
    if counts["outlines"]:
        number = counts["outlines"]
        what = f"{number:,} of {counted(counts['lines'], 'object')} {are(number)} outlined; bounding boxes are used"
        findings.append(Finding("outlines", "note", str(root), what))
    for kind in ("malformed-line", "not-normalised"):
        if counts[kind] > _MANY * counts["lines"]:
            what = f"{counts[kind]:,} of {counted(counts['lines'], 'line')} left out ({kind}): labels of another form"
            findings.append(Finding(kind, "error", str(root), what, "export the set again"))
    names = layout.names
    if names is None:
        ids = [fraction.class_id for part in labelled.values() for *_, found in part for fraction in found]
        names = tuple(f"class_{index}" for index in range(max(ids, default=0) + 1))
        called = f"it is called {names[0]}" if len(names) == 1 else f"they are called {names[0]} to {names[-1]}"
        what = f"no file names the {'class' if len(names) == 1 else 'classes'}; {called}"
        findings.append(Finding("class-names", "warning", str(root), what, "add classes.txt, a name a line"))
    classes = tuple(dict.fromkeys(names))
    if len(classes) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        what = f"{listed(twice)} is the name of several classes, which are taken as one"
        findings.append(Finding("class-names-twice", "error", str(root), what, "give each a name of its own"))
    images = {
        split: [
            LabelledImage(
                path,
                width,
                height,
                [
                    Box(
                        classes.index(names[f.class_id]),
                        f.left * width,
                        f.top * height,
                        f.right * width,
                        f.bottom * height,
                        stated_as=f"{names[f.class_id]} (line {f.line} of its labels)",
                    )
                    for f in fractions
                ],
            )
            for path, width, height, fractions in part
        ]
        for split, part in labelled.items()
    }
    splits = splits_of(images, layout.sources, classes, root, findings)
    return DataFolder(root, "YOLO", classes, splits, tuple(findings))
