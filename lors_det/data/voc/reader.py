"""Pascal VOC sets as they lie: in VOC's own folders, or an XML file beside each image, or somewhere else."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lors_det.data.images import displayed_sizes
from lors_det.data.labelled import Box, LabelledImage, splits_of
from lors_det.data.listing import Listing
from lors_det.data.record import DataFolder, Finding
from lors_det.data.splits import SplitName, by_folder, split_of_folders
from lors_det.data.voc.images import VocImages
from lors_det.data.voc.lists import Annotated, listed_splits
from lors_det.data.voc.xml import object_of, parse_xml, size_of
from lors_det.data.words import are, counted, have, listed
from lors_det.errors import InputError


def read_voc(root: Path, listing: Listing) -> DataFolder | None:
    """The set of the XML files below ``root`` whose root element is VOC's; None where there is no such file.

    Raises:
        InputError: if no XML file has an image, or none has an object.
    """
    findings: list[Finding] = []
    elements = _voc_elements(root, listing, findings)
    if not elements:
        return None
    images = VocImages(root, listing)
    annotated: dict[str, Annotated] = {}
    unclear: list[str] = []
    for path, element in elements.items():
        options = images.of(path, (element.findtext("filename") or "").strip())
        where = os.path.relpath(path, root)
        if not options:
            what = "its image is nowhere in the folder; it is left out"
            findings.append(Finding("missing-image", "warning", where, what, "add the image, or remove the file"))
        elif len(options) > 1:
            some = ", ".join(os.path.relpath(option, root) for option in options)
            what = f"may describe each of {len(options)} images ({some}); none of them is used"
            remedy = "remove those that are not meant, or put the files beside their images"
            findings.append(Finding("label-of-two-images", "error", where, what, remedy))
            unclear += options
        else:
            annotated[path] = _annotated(path, where, options[0], element, findings)
    if not annotated:
        told = next((f" ({each})" for each in findings if each.kind == "label-of-two-images"), "; add the images")
        raise InputError(f"none of the XML files of {root} ({len(elements):,}) has an image there{told}")
    parts, sources = listed_splits(root, listing, annotated, findings)
    if not parts:  # lists say what belongs to the set; without them all that lies there does
        parts, sources = _by_folder(annotated, root, findings)
        used = [*(item.image for item in annotated.values()), *unclear]
        _add_unlabelled(parts, images.beside(used), root, findings)
    _tell_unlisted(annotated, parts, root, findings)
    classes = tuple(sorted({o.class_name for part in parts.values() for item in part for o in item.objects}))
    if not classes:
        told = f" ({findings[0]})" if findings else ""
        raise InputError(f"no XML file of {root} has an <object> to tell the classes{told}; annotate some images")
    first = _first_pixel([item for part in parts.values() for item in part], root, findings)
    labelled = {split: _labelled(part, classes, first, root, findings) for split, part in parts.items()}
    splits = splits_of(labelled, sources, classes, root, findings)
    return DataFolder(root, "Pascal VOC", classes, splits, tuple(findings))


def _voc_elements(root: Path, listing: Listing, findings: list[Finding]) -> dict[str, ElementTree.Element]:
    """Roots of VOC's XML files by path. Malformed files are told only where there are others that are VOC's."""
    found, malformed = {}, []
    for place, names in listing.walk(str(root)):
        for name in names:
            if not name.lower().endswith(".xml"):
                continue
            path = f"{place}/{name}"
            try:
                element = parse_xml(Path(path))
            except (InputError, OSError) as error:
                what = f"{error}".removeprefix(path).lstrip(",: ")
                malformed.append(Finding("malformed-file", "warning", os.path.relpath(path, root), what))
                continue
            if element.tag.lower() == "annotation" and {"object", "filename", "size"} & {
                child.tag for child in element
            }:
                found[path] = element
    if found:
        findings.extend(malformed)
    return found


def _annotated(path: str, where: str, image: str, element: ElementTree.Element, findings: list[Finding]) -> Annotated:
    objects = []
    for node in element.findall("object"):
        try:
            objects.append(object_of(node, Path(path)))
        except InputError as error:
            what = f"an object is left out: {error}".replace(f"{path}: ", "")
            findings.append(Finding("malformed-box", "warning", where, what))
    try:
        size = size_of(element, Path(path))
    except InputError:
        size = None
    return Annotated(path, image, size, objects)


def _by_folder(
    annotated: Mapping[str, Annotated], root: Path, findings: list[Finding]
) -> tuple[dict[SplitName, list[Annotated]], dict[SplitName, str]]:
    """By folders of the XML files; where none of those is called like a split, by those of the images."""
    if any(split_of_folders(os.path.relpath(os.path.dirname(path), root)) for path in annotated):
        paths, sources = by_folder(annotated, root, "XML file", findings)
        return {split: [annotated[path] for path in part] for split, part in paths.items()}, sources
    by_image: dict[str, list[Annotated]] = {}
    for item in annotated.values():
        by_image.setdefault(item.image, []).append(item)
    paths, sources = by_folder(by_image, root, "image", findings)
    return {split: [item for path in part for item in by_image[path]] for split, part in paths.items()}, sources


def _add_unlabelled(
    parts: dict[SplitName, list[Annotated]], paths: Sequence[str], root: Path, findings: list[Finding]
) -> None:
    for path in paths:
        split = split_of_folders(os.path.relpath(os.path.dirname(path), root))
        place = split if split in parts else next(iter(parts))
        parts[place].append(Annotated(None, path, None, ()))
    if paths:
        some = ", ".join(os.path.relpath(path, root) for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
        what = f"{counted(len(paths), 'image')} {have(len(paths))} no XML file ({some}): used as without objects"
        remedy = "check that none of them shows what is to be found"
        findings.append(Finding("no-label", "note", root.name, what, remedy))


def _tell_unlisted(
    annotated: Mapping[str, Annotated],
    parts: Mapping[SplitName, Sequence[Annotated]],
    root: Path,
    findings: list[Finding],
) -> None:
    used = {item.xml for part in parts.values() for item in part}
    left_out = [item for item in annotated.values() if item.xml not in used]
    if not left_out:
        return
    known = {o.class_name for part in parts.values() for item in part for o in item.objects}
    lost = sorted({o.class_name for item in left_out for o in item.objects} - known)
    what = f"{counted(len(left_out), 'annotated image')} {are(len(left_out))} in no list of train, val or test"
    what += f", and {listed(lost)} in none but {'it' if len(left_out) == 1 else 'them'}" if lost else ""
    findings.append(
        Finding("unlisted", "note", root.name, f"{what}: not used", "add them to a list, if they are meant")
    )


def _labelled(
    part: Sequence[Annotated], classes: Sequence[str], first: int, root: Path, findings: list[Finding]
) -> list[LabelledImage]:
    """Corners as pixels that are counted from the left and upper edge; ``first`` is the number of the first pixel.

    Where an XML file states no size, it is the image file's.
    """
    index: Mapping[str, int] = {name: number for number, name in enumerate(classes)}
    unsized = [item.image for item in part if item.size is None]
    measured = dict(zip(unsized, displayed_sizes(unsized)))
    found = []
    for item in part:
        size = item.size or measured[item.image]
        if isinstance(size, InputError):
            what = f"{size}".removeprefix(f"{item.image} ")
            findings.append(Finding("unreadable-image", "warning", os.path.relpath(item.image, root), what))
            continue
        boxes = []
        for o in item.objects:
            left, top, right, bottom = (corner - first for corner in o.corners)
            stated = f"{o.class_name} ({', '.join(f'{corner:.6g}' for corner in o.corners)})"
            boxes.append(Box(index[o.class_name], left, top, right, bottom, o.difficult, stated))
        found.append(LabelledImage(item.image, *size, boxes))
    without = sum(item.size is None and item.xml is not None for item in part)
    if without:
        what = f"no size in pixels is stated in {counted(without, 'XML file')}; it is read from the images"
        findings.append(Finding("no-size", "note", root.name, what))
    return found


def _first_pixel(items: Sequence[Annotated], root: Path, findings: list[Finding]) -> int:
    """1, as Pascal VOC counts (:func:`lors_det.data.voc.convert.convert_voc`), or 0; told if in doubt.

    Boxes at the left or upper edge begin at the first pixel: a set counts from 0 if more begin at 0 than at 1.
    """
    begins = Counter(min(o.corners[:2]) for item in items for o in item.objects)
    if not begins[0]:
        return 1
    first = int(begins[0] <= begins[1])
    what = f"{counted(begins[0], 'box')} at the left or upper edge {have(begins[0])} a corner of 0, "
    what += f"{begins[1]:,} of 1: "
    what += "pixels are counted from " + ("1, as Pascal VOC's are" if first else "0, not from 1 as Pascal VOC's are")
    findings.append(Finding("zero-based", "note", root.name, what))
    return first
