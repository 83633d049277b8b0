"""Images that are the same, or nearly, across splits: what is measured on them was trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from lors_det.data.doctor.case import Case
from lors_det.data.doctor.image_facts import THUMBNAIL_PX
from lors_det.data.doctor.table import Ints
from lors_det.data.record import Finding, Level

MAX_DISTANCE = 6
"""Of 64 bits. Pictures of one kind, such as blood smears, are at 12 and more from each other."""
MIN_CORRELATION = 0.97
"""Of thumbnails of pictures that are worth a note: the same field of a microscope at another focus has 0.978."""
SAME_CORRELATION = 0.99
"""Of thumbnails of the same picture, saved anew or at another size."""

_FLAT = 2.0
_BLOCK = 2048


def check_leaks(case: Case) -> Iterator[Finding]:
    """Warnings of images in two splits, notes of images twice in one.

    Same files are found by name and by content. Nearly the same are two whose difference hashes (64 bits: whether a
    pixel of a 9 x 8 thumbnail is brighter than its left neighbour) differ in at most ``MAX_DISTANCE`` bits, and whose
    32 x 32 grey thumbnails correlate by at least ``SAME_CORRELATION``. From ``MIN_CORRELATION`` to there, they may be
    two shots of one scene: a note, in two splits too.
    """
    paths: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for table in case.tables:
        for index, path in enumerate(table.paths):
            place = (table.name, table.image(index))
            if place not in paths[path]:
                paths[path].append(place)
    inside = yield from _splits_inside_others(case)
    for places in paths.values():
        splits_of_it = {split for split, _ in places} - inside
        if len(splits_of_it) > 1:
            first, second, *_ = (place for place in places if place[0] in splits_of_it)
            yield _finding("same-file", first, second, "are the same file")
    looked_at = [path for path in paths if path in case.facts and case.facts[path].thumbnail is not None]
    by_digest: dict[bytes, list[str]] = defaultdict(list)
    for path in looked_at:
        by_digest[case.facts[path].digest].append(path)
    for same in by_digest.values():
        for one, other in pairwise(same):
            yield _finding("identical-image", paths[one][0], paths[other][0], "have the same content")
    single = [same[0] for same in by_digest.values()]
    thumbnails = np.array([case.facts[path].thumbnail for path in single], np.uint8)
    names = [table.name for table in case.tables]
    splits = np.array([names.index(paths[path][0][0]) for path in single], np.int64)
    flat = thumbnails.reshape(len(single), THUMBNAIL_PX**2)
    for pair in near_pairs(flat, splits):
        left, right = (paths[single[index]][0] for index in pair)
        one, other = _normed(flat[pair])
        if one @ other >= SAME_CORRELATION:
            yield _finding("near-identical-image", left, right, "look nearly the same")
        else:
            yield _finding("similar-image", left, right, "look alike, as two shots of one scene do", level="note")


def _splits_inside_others(case: Case) -> Generator[Finding, None, set[str]]:
    """A finding for each split whose images are all of one before it, unless the reader told; returns these splits."""
    inside = set()
    told = any(found.kind == "same-split" for found in case.folder.findings)
    for number, table in enumerate(case.tables):
        holder = next((each for each in case.tables[:number] if set(table.paths) <= set(each.paths)), None)
        if holder is not None and table.images:
            inside.add(table.name)
            if not told:
                what = f"all of its images ({len(table.images):,}) are images of {holder.name}"
                remedy = f"give it images of its own, or {table.name} measures what was trained on"
                yield Finding("same-split", "warning", table.name, what, remedy)
    return inside


def near_pairs(thumbnails: NDArray[np.uint8], splits: Ints) -> Ints:
    """Pairs that look nearly the same, see :func:`check_leaks`; flat pictures have none.

    Args:
        thumbnails: (n, 1024).
        splits: (n,) the split of each, as a number.

    Returns:
        (P, 2) indices, the lower first. Of a picture with many before it that look the same, such as a frame of a film,
        only the pair with the first in each split, so that there are never more pairs than pictures and splits.
    """
    lively = np.flatnonzero(thumbnails.std(1) > _FLAT) if len(thumbnails) else np.zeros(0, np.int64)
    bits = difference_bits(thumbnails[lively])
    found = [np.zeros((0, 2), np.int64)]
    # two hashes that differ in at most k bits are equal in one of k + 1 bands; bits of a band lie far apart in the
    # picture, or neighbours that are mostly alike would make for large groups
    for band in (np.arange(first, 64, MAX_DISTANCE + 1) for first in range(MAX_DISTANCE + 1)):
        keys = bits[:, band] @ (1 << np.arange(len(band)))
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        for group in np.split(order, starts[1:]):
            if len(group) > 1:
                found.extend(_pairs_of_group(lively[group], bits[group].astype(np.float32), thumbnails, splits))
    return _first_of_each_split(np.concatenate(found), splits)


def difference_bits(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n, 64) bits of the difference hash of thumbnails (n, 1024)."""
    square = thumbnails.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX)
    small = [cv2.resize(each, (9, 8), interpolation=cv2.INTER_AREA) for each in square]
    values = np.array(small, np.int64).reshape(-1, 8, 9)
    return (values[..., 1:] > values[..., :-1]).reshape(-1, 64).astype(np.int64)


def _pairs_of_group(
    group: Ints, bits: NDArray[np.float32], thumbnails: NDArray[np.uint8], splits: Ints
) -> Iterator[Ints]:
    """Pairs among the pictures of a group, sorted by index, in blocks that fit into memory."""
    counts = bits.sum(1)
    starts = range(0, len(group), _BLOCK)
    for row, column in ((row, column) for row in starts for column in starts if row <= column):
        rows, columns = slice(row, row + _BLOCK), slice(column, column + _BLOCK)
        distance = counts[rows, None] + counts[None, columns] - 2 * bits[rows] @ bits[columns].T
        near = (distance <= MAX_DISTANCE) & (group[rows, None] < group[None, columns])
        if near.any():
            # only those that are near to any other need their thumbnails compared
            some, other = group[rows][near.any(1)], group[columns][near.any(0)]
            alike = _normed(thumbnails[some]) @ _normed(thumbnails[other]).T >= MIN_CORRELATION
            one, two = np.nonzero(alike & near[near.any(1)][:, near.any(0)])
            yield _first_of_each_split(np.stack([some[one], other[two]], axis=1), splits)


def _normed(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of mean 0 and length 1: products are correlations."""
    values = thumbnails.astype(np.float32)
    values -= values.mean(1, keepdims=True)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def _first_of_each_split(pairs: Ints, splits: Ints) -> Ints:
    """Of the pairs with the same second picture, the first with a first picture of each split."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    key = np.stack([splits[pairs[:, 0]], pairs[:, 1]], axis=1)
    return pairs[np.sort(np.unique(key, axis=0, return_index=True)[1])]


def _finding(kind: str, one: tuple[str, str], other: tuple[str, str], what: str, level: Level = "warning") -> Finding:
    if one[0] != other[0]:
        remedy = f"take one out, or {other[0]} measures what was trained on"
        if "train" not in (one[0], other[0]):
            remedy = "take one out"
        return Finding(f"{kind}-in-two-splits", level, one[1], f"it and {other[1]} {what}", remedy)
    return Finding(f"{kind}-twice", "note", one[1], f"it and {other[1]} {what}", "keep one")
