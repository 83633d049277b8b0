"""Where the images of a COCO file lie: the folder that has files of their names, and is not another split's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from filecmp import cmp
from functools import cached_property
from pathlib import Path

from lors_det.data.coco.files import CocoFile, split_of_file
from lors_det.data.listing import Listing
from lors_det.data.splits import SplitName, split_apart, split_of_folders
from lors_det.errors import InputError

_DEPTH = 6  # below the set's folder
_SAMPLE = 50  # file names by which the folder is recognised


def image_folder(
    file: CocoFile, split: SplitName, root: Path, listing: Listing, names: Mapping[SplitName, Sequence[str]]
) -> tuple[str, int] | None:
    """The folder that most images lie in by their ``file_name``, and how many of its first folders are to be left out.

    Splits often number their images alike, so that folders of several have files of the same names. A folder that is
    called like the file's split is preferred to one that is called like none; one of another split is only taken where
    that split's file names other images, as then both have theirs in it.

    Args:
        file: the annotation file.
        split: which it is.
        root: the set's folder.
        listing: of it.
        names: the ``file_name`` of the images of each split; of this one there are some.

    Returns:
        None if none of the images is anywhere.

    Raises:
        InputError: if it cannot be told which of two folders it is, or only one of another split has such files.
    """
    likely = _likely(file.path, split, root)
    below = [place for place, _ in listing.walk(str(root), _DEPTH)]
    called = {place: _split_of_place(place, file.path, split, root) for place in (*likely, *below)}
    others = {other for other in called.values() if other is not None and other != split}
    names_itself = split_of_file(file.path, root) is not None  # else it is the set's only file, whatever split it is
    step = max(1, len(names[split]) // _SAMPLE)
    sample = names[split][::step][:_SAMPLE]
    depths = range(1 + max(name.replace("\\", "/").count("/") for name in sample))
    for some, share in ((sample, 0.5), (names[split], 0.0)):  # most of them, else the folder that has any
        for skipped in depths:
            ends = _ends(some, skipped)
            shared = {other for other in others if _may_share(split, other, names, skipped) or not names_itself}
            for fitting in ({split}, {None}, shared):
                for options in (likely, below):
                    hits = {place: _hits(place, ends, listing) for place in options if called[place] in fitting}
                    most = max(hits.values(), default=0)
                    if most and most >= share * len(some):
                        first, *rest = [place for place, count in hits.items() if count == most]
                        if options is below:  # the likely ones are in order
                            _check_alike(first, rest, _ends(sample, skipped), root, listing)
                        return first, skipped
    for place in below:
        if any(_hits(place, _ends(sample, skipped), listing) for skipped in depths):
            where = os.path.relpath(place, root)
            raise InputError(
                f"files of its images' names, such as {sample[0]}, are only in {where}, a folder of {called[place]}; "
                f"put the images of {split} into a folder {split}, or write their folder into file_name"
            )
    return None


class Elsewhere:
    """Images of names that a single folder has, one that is not called like another split than the file's."""

    def __init__(self, file: CocoFile, split: SplitName, root: Path, listing: Listing) -> None:
        self._file, self._split, self._root, self._listing = file, split, root, listing

    def of(self, name: str) -> str | None:
        """The path of the one image of this name, which has no folder in it; None where there is none, or several."""
        return self._paths.get(name)

    @cached_property
    def _paths(self) -> dict[str, str]:
        """By name; made when an image is missing for the first time."""
        paths: dict[str, str] = {}
        several: set[str] = set()
        for place, names in self._listing.walk(str(self._root), _DEPTH):
            called = _split_of_place(place, self._file.path, self._split, self._root)
            for name in names if called in (None, self._split) else ():
                if paths.setdefault(name, f"{place}/{name}") != f"{place}/{name}":
                    several.add(name)
        return {name: path for name, path in paths.items() if name not in several}


def without_folders(name: str, skipped: int) -> str | None:
    """``c/d.jpg`` of ``a/b/c/d.jpg`` for 2; None where there are not so many."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(parts[skipped:]) if skipped < len(parts) else None


def _ends(names: Sequence[str], skipped: int) -> list[str]:
    return [end for name in names if (end := without_folders(name, skipped)) is not None]


def _hits(place: str, ends: Sequence[str], listing: Listing) -> int:
    return sum(listing.holds(os.path.join(place, end)) for end in ends)


def _split_of_place(place: str, file: Path, split: SplitName, root: Path) -> SplitName | None:
    """The split that a folder is called like: below what it has in common with the file's folder, or as that is."""
    own = split_apart(place, str(file.parent))
    if own is None and split_of_folders(os.path.relpath(place, root)) == split:
        return split
    return own


def _may_share(split: SplitName, other: SplitName, names: Mapping[SplitName, Sequence[str]], skipped: int) -> bool:
    """Whether two splits may lie in one folder: both have a file, and these name different images."""
    return other in names and not set(_ends(names[split], skipped)) & set(_ends(names[other], skipped))


def _check_alike(first: str, others: Sequence[str], ends: Sequence[str], root: Path, listing: Listing) -> None:
    """Refuse folders that have different images of the same names; copies will do."""
    for other in others:
        for end in ends:
            one, two = os.path.join(first, end), os.path.join(other, end)
            if listing.holds(one) and listing.holds(two) and not cmp(one, two, shallow=False):
                folders = " and ".join(os.path.relpath(place, root) for place in (first, other))
                raise InputError(
                    f"{folders} both have its images by their names, but {end} is another in each; move away the "
                    "folder that is not meant, call each like its split, or write the folder into file_name"
                )


def _likely(path: Path, split: SplitName, root: Path) -> list[str]:
    """Where the images of an annotation file usually are, the likeliest first."""
    stem, beside = path.stem, path.parent
    tail = stem.rsplit("_", 1)[-1]  # train2017 of instances_train2017
    called = [tail, stem, split, *({"val": ("valid", "validation")}.get(split, ()))]
    options = [f"{place}/{inner}" for place in (root, beside) for name in called for inner in (name, f"{name}/images")]
    options += [f"{place}/images/{name}" for place in (root, beside) for name in called]
    options += [str(beside), f"{beside}/images", str(beside.parent), f"{beside.parent}/images"]
    options += [str(root), f"{root}/images", f"{root}/data", f"{root}/JPEGImages"]
    return list(dict.fromkeys(option for option in options))
