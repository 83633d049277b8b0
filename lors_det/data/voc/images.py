"""The image that an XML file of a Pascal VOC set describes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from filecmp import cmp
from pathlib import Path

from lors_det.data.images import IMAGE_SUFFIXES, images_below
from lors_det.data.listing import Listing
from lors_det.data.splits import split_apart

# left out when distances are counted: Annotations/a.xml and JPEGImages/a.jpg lie as near as can be
_XML_FOLDERS = ("annotations", "annotation", "xml", "xmls", "labels")
_IMAGE_FOLDERS = ("jpegimages", "images", "image", "imgs", "img")


class VocImages:
    """The images below a folder, to be found by an XML file's name or by the name that it states."""

    def __init__(self, root: Path, listing: Listing) -> None:
        self._paths = images_below(str(root), listing)
        self._by_name: dict[str, list[str]] = {}
        for path in sorted(self._paths, key=_rank):
            name = os.path.basename(path)
            for key in (name, os.path.splitext(name)[0]):
                self._by_name.setdefault(key, []).append(path)

    def of(self, xml: str, stated: str) -> list[str]:
        """The path of the image called like the XML file, or as it states; of several, that in the nearest folder.

        A folder of another split than the XML file's comes last, and at the same distance one of its split first. More
        than one path where that does not tell, and the images differ; none where there is no such image.
        """
        stem = os.path.splitext(os.path.basename(xml))[0]
        for name in (stem, stated.replace("\\", "/").rsplit("/", 1)[-1]):
            if options := self._by_name.get(name):
                return _fittest(options, xml)
        return []

    def beside(self, used: Iterable[str]) -> list[str]:
        """The images that lie in the folders of the ones used, other than these and their copies in other formats."""
        stems = {os.path.splitext(path)[0] for path in used}
        folders = {os.path.dirname(stem) for stem in stems}
        return [p for p in self._paths if os.path.dirname(p) in folders and os.path.splitext(p)[0] not in stems]


def _fittest(options: list[str], xml: str) -> list[str]:
    """The path that fits best, and others that fit as well, of other folders and with other content."""
    if len(options) == 1:
        return options
    fits = {path: (*_fit(path, xml), _rank(path)[0]) for path in options}
    first = min(options, key=lambda path: fits[path])
    others = [
        path
        for path in options
        if fits[path] == fits[first]
        and os.path.dirname(path) != os.path.dirname(first)
        and not cmp(path, first, shallow=False)
    ]
    return [first, *others]


def _fit(image: str, xml: str) -> tuple[bool, int, bool]:
    """Whether they are of two splits, their distance, and whether one tells no split; the least fits best."""
    there, here = os.path.dirname(image), os.path.dirname(xml)
    drawn, noted = split_apart(there, here), split_apart(here, there)
    known = drawn is not None and noted is not None
    return known and drawn != noted, _distance(image, xml), not known


def _rank(path: str) -> tuple[int, str]:
    return IMAGE_SUFFIXES.index(os.path.splitext(path)[1].lower()), path


def _distance(image: str, xml: str) -> int:
    """Steps from one file's folder to the other's, those between a folder of XML files and one of images left out."""
    there, here = os.path.dirname(image).split("/"), os.path.dirname(xml).split("/")
    drawn = [part for part in there if part.lower() not in _IMAGE_FOLDERS]
    noted = [part for part in here if part.lower() not in _XML_FOLDERS]
    common = next((n for n, (a, b) in enumerate(zip(drawn, noted)) if a != b), min(len(drawn), len(noted)))
    return 2 * (len(drawn) + len(noted) - 2 * common) + (there != here)
