"""The label file of each image of a YOLO set."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lors_det.data.images import UNREAD_SUFFIXES, is_image
from lors_det.data.listing import Listing
from lors_det.data.record import Finding
from lors_det.data.words import counted
from lors_det.data.yolo.layout import NAME_FILES, Layout, is_label, label_folders


class LabelFiles:
    """Finds the label file of an image, and knows in the end which belong to none.

    Labels of a folder's images lie in one folder, the likeliest that has any: an image that has none there is one
    without objects, though another folder may hold a file of its name: old labels, or those that a model wrote.

    Args:
        listing: of the set.
        images: paths of all of its images.
    """

    def __init__(self, listing: Listing, images: Iterable[str]) -> None:
        self._listing = listing
        self._images: dict[str, set[str]] = {}
        for folder, name in map(os.path.split, images):
            self._images.setdefault(folder, set()).add(name)
        self._folders: dict[str, str | None] = {}
        self._elsewhere: dict[str, list[str]] = {}
        self._named: dict[str, dict[str, str]] = {}
        self._used: set[str] = set()

    def of(self, image: str) -> str | None:
        """The path of an image's label file; None where it has none."""
        folder, name = os.path.split(image)
        if folder not in self._folders:
            self._folders[folder] = self._choose(folder)
        place = self._folders[folder]
        path = None if place is None else self._label(place, name)
        if path is not None:
            self._used.add(path)
        return path

    def _choose(self, folder: str) -> str | None:
        """The folder of labels of a folder's images; notes labels of those that have none there."""
        images = sorted(self._images.get(folder, ()))
        options = [option for option in dict.fromkeys(label_folders(folder)) if self._listing.files(option)]
        chosen = next((option for option in options if any(self._label(option, image) for image in images)), None)
        if chosen is not None:
            without = [image for image in images if self._label(chosen, image) is None]
            others = (self._label(option, image) for option in options for image in without)
            if elsewhere := list(dict.fromkeys(path for path in others if path is not None)):
                self._elsewhere[folder] = elsewhere
        return chosen

    def _label(self, place: str, image: str) -> str | None:
        """The path of the label file of an image's name in a folder, where there is one."""
        stem = os.path.splitext(image)[0]
        label = self._texts(place).get(_key(stem))
        if f"{stem}.txt" in self._listing.files(place):  # two names may differ in their writing alone
            label = f"{stem}.txt"
        return None if label is None or label.lower() in NAME_FILES else f"{place}/{label}"

    def passed_over(self) -> Iterator[tuple[str, str, list[str], bool]]:
        """Folders of images, where their labels are, and label files elsewhere of images that have none there.

        Without those that are another image's, once all have been asked for; and whether they are most of the labels.
        """
        for folder, paths in self._elsewhere.items():
            chosen = str(self._folders[folder])
            number = sum(self._label(chosen, image) is not None for image in self._images[folder])
            if left := [path for path in paths if path not in self._used]:
                yield folder, chosen, left, len(left) > number

    def _texts(self, folder: str) -> dict[str, str]:
        """Names of the text files in a folder by what images' are compared with."""
        if folder not in self._named:
            names = sorted(name for name in self._listing.files(folder) if name.lower().endswith(".txt"))
            self._named[folder] = {_key(name[: -len(".txt")]): name for name in names}
        return self._named[folder]

    def some(self, images: Sequence[str]) -> list[str]:
        """The first few label files of some images."""
        found = []
        for image in images:
            if (path := self.of(image)) is not None:
                found.append(path)
            if len(found) == 20:
                break
        return found

    def unused(self) -> dict[str, str | None]:
        """Label files of no image, in the folders where labels of images were found.

        Beside each is the file of its name in a format that is not read, where one lies where images do.
        """
        beside = [(folder, name) for folder in self._folders for name in self._listing.files(folder)]
        images = {_key(os.path.splitext(name)[0]) for _, name in beside if is_image(name)}
        unread = {
            _key(os.path.splitext(name)[0]): f"{folder}/{name}"
            for folder, name in beside
            if name.lower().endswith(UNREAD_SUFFIXES)
        }
        folders = {os.path.dirname(path) for path in self._used}
        paths = [f"{folder}/{name}" for folder in folders for name in self._listing.files(folder) if is_label(name)]
        stems = {path: _key(os.path.basename(path)[: -len(".txt")]) for path in sorted(paths)}
        return {path: unread.get(stem) for path, stem in stems.items() if stem not in images}


def _key(stem: str) -> str:
    """A name as others of its kind are compared with it: systems write the same accent in two ways."""
    return unicodedata.normalize("NFC", stem)


def of_two_images(root: Path, layout: Layout, search: LabelFiles, findings: list[Finding]) -> set[str]:
    """Images whose label file is another's too: it cannot be told whose boxes it holds, so none of them is used."""
    images: dict[str, list[str]] = {}
    for path in dict.fromkeys(path for paths in layout.images.values() for path in paths):
        if (label := search.of(path)) is not None:
            images.setdefault(label, []).append(path)
    shared = {label: paths for label, paths in images.items() if len(paths) > 1}
    for label, paths in shared.items():
        some = ", ".join(os.path.relpath(path, root) for path in paths)
        what = f"would be the label file of {counted(len(paths), 'image')} ({some}); none of them is used"
        remedy = "keep one of them, or give each a label file of its own"
        findings.append(Finding("label-of-two-images", "error", os.path.relpath(label, root), what, remedy))
    return {path for paths in shared.values() for path in paths}
