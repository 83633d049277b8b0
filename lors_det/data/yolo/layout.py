"""Where a YOLO set's images and labels are, as its lists of images and its folders' names tell.

Labelling tools export paths that are right on their own machine only: of a path that does not exist, the longest end
that does is taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lors_det.data.images import images_below, is_image
from lors_det.data.listing import Listing
from lors_det.data.record import Finding
from lors_det.data.splits import SplitName, by_folder, own_first, split_called
from lors_det.data.text import text_of
from lors_det.data.words import are, counted
from lors_det.errors import InputError

NAME_FILES = ("classes.txt", "obj.names", "_darknet.labels", "classes.names", "predefined_classes.txt")
"""Lower-case names of files that list the classes, one a line."""

_BESIDE_LABELS = (*NAME_FILES, "notes.txt", "requirements.txt")  # no label files, unless an image is called so
_TOLD = re.compile(r"(readme|license)(\.\w+)?\.txt")
_DEPTH_OF_NAMES = 3
_NOT_THERE = " does not exist"


@dataclass(frozen=True)
class Layout:
    """Classes, and the absolute paths of each split's images in order; with no split known, those of "train"."""

    names: tuple[str, ...] | None
    """Class names by id; None where the set does not say."""
    images: Mapping[SplitName, Sequence[str]]
    sources: Mapping[SplitName, str]
    """Of each split, in words."""
    keypoints: bool = False
    """Whether labels go on after the box with keypoints."""

    def all_images(self) -> Iterator[str]:
        """Their paths, those in several splits several times."""
        return chain.from_iterable(self.images.values())


def existing(entry: str, bases: Sequence[str]) -> str | None:
    """The file or folder that a path means, or its longest end that exists below one of the folders ``bases``."""
    if os.path.isabs(entry) and os.path.exists(entry):
        return os.path.normpath(entry)
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".")]
    upwards = next((number for number, part in enumerate(parts) if part != ".."), 0)
    # Roboflow writes ../train/images for train/images beside the YAML file
    for skipped in (upwards, *range(len(parts))):
        if ".." in parts[skipped:] and (skipped or os.path.isabs(entry)):
            continue
        for base in bases:
            if os.path.exists(place := os.path.normpath(os.path.join(base, *parts[skipped:]))):
                return place
    return None


def images_listed(place: str, bases: Sequence[str], listing: Listing, findings: list[Finding]) -> list[str]:
    """Paths of the images that a text file lists, relative to itself or to ``bases``, one a line; each once."""
    text = text_of(Path(place).read_bytes(), errors="replace")
    around = list(dict.fromkeys([os.path.dirname(place), *bases]))
    found: list[str] = []
    known: dict[str, list[str]] = {}  # a folder is looked for once, not once for each image
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip().replace("\\", "/")
        if not entry:
            continue
        folder, name = os.path.split(entry)
        if folder not in known:
            ends = ["/".join(folder.split("/")[skipped:]) for skipped in range(folder.count("/") + 2)]
            options = [os.path.normpath(f"{base}/{end}") for end in ends for base in around]
            options = [folder, *options] if os.path.isabs(folder) else options
            known[folder] = [option for option in options if listing.files(option)]
        path = next((path for option in known[folder] if listing.holds(path := f"{option}/{name}")), None)
        if path is None:
            where = f"{os.path.basename(place)}, line {number}"
            findings.append(Finding("missing-image", "warning", where, f"{entry}{_NOT_THERE}", "add the image"))
        elif not is_image(name):
            what = f"{entry} is of a format that is not read, and left out"
            findings.append(
                Finding("unread-format", "warning", os.path.basename(place), what, "convert it to JPEG or PNG")
            )
        else:
            found.append(path)
    once = list(dict.fromkeys(found))
    if repeated := len(found) - len(once):
        what = f"{counted(repeated, 'line')} {are(repeated)} of images listed before; each image is used once"
        findings.append(Finding("listed-twice", "note", os.path.basename(place), what))
    return once


def from_folders(root: Path, listing: Listing, findings: list[Finding]) -> Layout:
    """The layout of a set without YAML: lists of images by split, or folders called like splits, or neither."""
    names = _names(root, listing)
    images: dict[SplitName, list[str]] = {}
    sources: dict[SplitName, str] = {}
    for name in sorted(listing.files(str(root)), key=own_first):
        split = split_called(name[:-4]) if name.lower().endswith(".txt") else None
        if split is not None and split not in images:
            missing: list[Finding] = []
            found = images_listed(f"{root}/{name}", [str(root)], listing, missing)
            if found:
                images[split], sources[split] = found, name
                findings.extend(missing)
            elif unread := [each for each in missing if each.kind == "unread-format"]:
                findings.extend(unread)
            elif lost := [each.what for each in missing if is_image(each.what.removesuffix(_NOT_THERE))]:
                what = f"lists {counted(len(lost), 'image')}, of which none is there ({lost[0]}); it is left out"
                findings.append(Finding("missing-image", "warning", name, what, "correct its lines, or remove it"))
    if images:
        return Layout(names, images, sources)
    return Layout(names, *by_folder(images_below(str(root), listing), root, "image", findings))


def _names(root: Path, listing: Listing) -> tuple[str, ...] | None:
    """The classes of the set: those of its own folder's list, else those on which the lists of its folders agree.

    Raises:
        InputError: if a list is not readable, or lists of two folders differ: their ids would mean other classes.
    """
    found: dict[str, tuple[str, ...]] = {}
    for place, files in listing.walk(str(root), _DEPTH_OF_NAMES):
        for name in files:
            if name.lower() in NAME_FILES and (names := _names_in(Path(place, name))):
                if place == str(root):
                    return names
                found.setdefault(f"{place}/{name}", names)
    own = {path: names for path, names in found.items() if not path.endswith("/predefined_classes.txt")}
    found = own or found  # that one is LabelImg's, and may lie beside the tool
    longest = max(found, key=lambda path: len(found[path]), default=None)
    for path, names in found.items():
        if longest is not None and names != found[longest][: len(names)]:
            raise InputError(
                f"{longest} and {path} list other classes, or in another order, and labels name classes by their line; "
                f"write one classes.txt into {root}, and labels that follow it"
            )
    return found.get(longest) if longest is not None else None


def _names_in(path: Path) -> tuple[str, ...]:
    """The lines of a list of classes.

    Raises:
        InputError: if it is no text, or a line between others is empty: a class's id is the number of its line.
    """
    try:
        text = text_of(path.read_bytes())
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8, so that its names are not sure; save it as UTF-8") from error
    names = tuple(line.strip() for line in text.rstrip().splitlines())
    if "" in names:
        raise InputError(f"{path}: line {names.index('') + 1} is empty; write the class's name there")
    return names


def label_folders(folder: str) -> list[str]:
    """Where the labels of a folder's images can be, the likeliest first.

    The folder ``images`` of its path is ``labels``, the last one first; or labels lie beside the images; or in a
    folder labels beside theirs, or in labels/<the folder's name>.
    """
    parts = folder.split("/")
    options = [
        "/".join([*parts[:index], instead, *parts[index + 1 :]])
        for index in range(len(parts) - 1, 0, -1)
        for instead in ("labels", "Labels")
        if parts[index].lower() == "images"
    ]
    parent, name = os.path.split(folder)
    return [*options, folder, f"{folder}/labels", f"{parent}/labels/{name}", f"{parent}/labels"]


def is_label(name: str) -> bool:
    """Whether a file is a label file by its name, whatever images there are."""
    low = name.lower()
    return low.endswith(".txt") and low not in _BESIDE_LABELS and not _TOLD.fullmatch(low)
