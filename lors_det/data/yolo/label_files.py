"""The label file of each image of a YOLO set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lors_det.data.images import is_image
from lors_det.data.listing import Listing
from lors_det.data.record import Finding
from lors_det.data.splits import split_called
from lors_det.data.words import counted
from lors_det.data.yolo.layout import Layout, is_label, label_folders


class LabelFiles:
    """Finds the label file of an image, and knows in the end which belong to none."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._folders: dict[str, list[str]] = {}
        self._used: set[str] = set()

    def of(self, image: str) -> str | None:
        """The path of an image's label file; None where it has none."""
        folder, name = os.path.split(image)
        stem = os.path.splitext(name)[0]
        if folder not in self._folders:
            options = label_folders(folder)
            self._folders[folder] = [option for option in options if self._listing.files(option)]
        for option in self._folders[folder]:
            if is_label(f"{stem}.txt") and f"{stem}.txt" in self._listing.files(option):
                self._used.add(f"{option}/{stem}.txt")
                return f"{option}/{stem}.txt"
        return None

    def some(self, images: Sequence[str]) -> list[str]:
        """The first few label files of some images."""
        found = []
        for image in images:
            if (path := self.of(image)) is not None:
                found.append(path)
            if len(found) == 20:
                break
        return found

    def unused(self) -> list[str]:
        """Label files of no image, in the folders where labels of images were found."""
        images = {
            os.path.splitext(n)[0] for folder in self._folders for n in self._listing.files(folder) if is_image(n)
        }
        folders = {os.path.dirname(path) for path in self._used}
        paths = [f"{folder}/{name}" for folder in folders for name in self._listing.files(folder) if is_label(name)]
        stems = {path: os.path.basename(path)[: -len(".txt")] for path in sorted(paths)}
        return [path for path, stem in stems.items() if stem not in images and not split_called(stem)]


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
