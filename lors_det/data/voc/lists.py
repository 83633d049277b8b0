"""The splits of a Pascal VOC set as its lists in ImageSets tell them."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lors_det.data.images import is_image
from lors_det.data.listing import Listing
from lors_det.data.record import Finding
from lors_det.data.splits import SPLITS, SplitName, own_first, split_called
from lors_det.data.text import text_of
from lors_det.data.voc.xml import VocObject

_LISTS = ("ImageSets/Main", "ImageSets", "Main", "")
_BOTH = "trainval"


@dataclass(frozen=True)
class Annotated:
    """An image and the XML file that describes it, if any; paths are absolute."""

    xml: str | None
    image: str
    size: tuple[int, int] | None
    """Width and height in pixels as stated, None where they are not."""
    objects: Sequence[VocObject]


def listed_splits(
    root: Path, listing: Listing, annotated: Mapping[str, Annotated], findings: list[Finding]
) -> tuple[dict[SplitName, list[Annotated]], dict[SplitName, str]]:
    """The images that lists name, by split, and these lists; nothing where there are no lists.

    Lists are looked for in the set's folder, else beside the folders of XML files, which may be several years' sets.
    ``trainval`` counts, less what is in other splits, only where there is no ``train``.

    Args:
        root: the set's folder.
        listing: of it.
        annotated: by the paths of the XML files.
        findings: grows by lines that lead to no image.
    """
    parents = sorted({os.path.dirname(os.path.dirname(path)) for path in annotated})
    parts: dict[SplitName, list[Annotated]] = {}
    sources: dict[SplitName, list[str]] = {}
    for base in [str(root), *(parent for parent in parents if parent != str(root))]:
        lists = _lists(base, listing)
        inside = [item for path, item in annotated.items() if path.startswith(f"{base}/")]
        images = {
            (os.path.basename(place), os.path.splitext(name)[0])
            for place, files in listing.walk(base)
            for name in filter(is_image, files)
        }
        names = [_Names(((path_of(item), item) for item in inside), images) for path_of in (_xml_of, _image_of)]
        found = {split: _named(path, names, root, findings) for split, path in lists.items()}
        if _BOTH in found:
            elsewhere = {item.image for split, part in found.items() if split != _BOTH for item in part}
            found["train"] = [item for item in found[_BOTH] if item.image not in elsewhere]
            lists["train"] = lists[_BOTH]
        for split in SPLITS:
            if split in found:
                parts.setdefault(split, []).extend(found[split])
                sources.setdefault(split, []).append(os.path.relpath(lists[split], root))
        if parts and base == str(root):
            break
    if not any(parts.values()):
        return {}, {}
    return parts, {split: ", ".join(sources[split]) for split in parts}


def _lists(base: str, listing: Listing) -> dict[str, str]:
    """Paths by split of the lists of the first folder that has any; trainval only where train is missing."""
    for folder in _LISTS:
        place = f"{base}/{folder}".rstrip("/")
        names = sorted((name for name in listing.files(place) if name.endswith(".txt")), key=own_first)
        found: dict[str, str] = {}
        for name in names:
            split = _BOTH if name == f"{_BOTH}.txt" else split_called(name[:-4])
            if split is not None:
                found.setdefault(split, f"{place}/{name}")
        if "train" in found:
            found.pop(_BOTH, None)
        if found:
            return found
    return {}


class _Names:
    """Annotated images by what lines may call them: a path without its suffix, or the end of one.

    Args:
        items: paths, of the XML files or of the images, and what they belong to.
        images: folder and stem of all images: a line that ends in both means that one, and none of its stem elsewhere.
    """

    def __init__(self, items: Iterable[tuple[str, Annotated]], images: Container[tuple[str, ...]]) -> None:
        self._images = images
        self._by_end: dict[tuple[str, ...], list[tuple[list[str], Annotated]]] = {}
        for path, item in items:
            parts = _parts(os.path.splitext(path)[0])
            for length in (1, 2):  # videos have frames of the same names in a thousand folders
                self._by_end.setdefault(tuple(parts[-length:]), []).append((parts, item))

    def of(self, name: str) -> list[Annotated]:
        """Those whose path has the longest end in common with a name: one, none, or several that may be meant."""
        parts = _parts(name)
        options = self._by_end.get(tuple(parts[-2:]), [])
        if not options and tuple(parts[-2:]) not in self._images:
            options = self._by_end.get(tuple(parts[-1:]), [])
        alike = [_common_end(path, parts) for path, _ in options]
        most = max(alike, default=0)
        return [item for (_, item), common in zip(options, alike) if common == most]


def _xml_of(item: Annotated) -> str:
    return item.xml or ""


def _image_of(item: Annotated) -> str:
    return item.image


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two paths have in common at their ends."""
    return next(
        (n for n, (a, b) in enumerate(zip(reversed(one), reversed(other))) if a != b), min(len(one), len(other))
    )


def _named(path: str, names: Sequence[_Names], root: Path, findings: list[Finding]) -> list[Annotated]:
    """The annotated images that a list names: a stem, a stem and "1", or the path of an image, one a line.

    Args:
        path: the list.
        names: of the XML files, and of the images, which count where no XML file is called so.
        root: the set's folder.
        findings: grows.
    """
    found: dict[str, Annotated] = {}
    missing = []
    lines = text_of(Path(path).read_bytes(), errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        bare = re.sub(r"\s+(-1|0|1)$", "", text)
        first = text.split()[0]
        options = (text, bare, os.path.splitext(bare)[0], os.path.splitext(first)[0])
        meant = next((items for option in options for each in names if (items := each.of(option))), [])
        where = f"{os.path.relpath(path, root)}, line {number}"
        if not meant:
            what = f"{text} has no XML file with an image; it is left out"
            missing.append(Finding("missing-label", "warning", where, what, "add both, or remove the line"))
        elif len({item.xml for item in meant}) > 1:
            some = " or ".join(os.path.relpath(item.xml or item.image, root) for item in meant[:3])
            what = f"{text} may be any of {len(meant)} files ({some}); it is left out"
            findings.append(Finding("ambiguous-line", "error", where, what, "write its folder before it"))
        elif (key := meant[0].xml or "") in found:
            findings.append(Finding("listed-twice", "warning", where, f"{bare} is listed before", "remove the line"))
        else:
            found[key] = meant[0]
    findings.extend(missing if found or "ImageSets" in path else [])  # a text file elsewhere may be none of VOC's
    return list(found.values())
