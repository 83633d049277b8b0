"""Images that are the same, or nearly, across splits: what is measured on them was trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from lors_det.data.doctor.case import Case
from lors_det.data.doctor.image_facts import THUMBNAIL_PX
from lors_det.data.doctor.table import Ints
from lors_det.data.record import Finding

MAX_DISTANCE = 6
"""Of 64 bits. Pictures of one kind, such as blood smears, are at 12 and more from each other."""
MIN_CORRELATION = 0.97
"""Of thumbnails. The same picture saved anew or at another size has 0.99 and more, other shots of a scene 0.95."""

_FLAT = 2.0
_NUM_BANDS = MAX_DISTANCE + 1
_CHUNK = 4_000_000


def check_leaks(case: Case) -> Iterator[Finding]:
    """Warnings of images in two splits, notes of images twice in one.

    Same files are found by name and by content. Nearly the same are two whose difference hashes (64 bits: whether a
    pixel of a 9 x 8 thumbnail is brighter than its left neighbour) differ in at most ``MAX_DISTANCE`` bits, and whose
    32 x 32 grey thumbnails correlate by at least ``MIN_CORRELATION``.
    """
    paths: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for table in case.tables:
        for index in range(len(table.images)):
            place = (table.name, table.image(index))
            if place not in paths[table.path(index)]:
                paths[table.path(index)].append(place)
    for places in paths.values():
        if len({split for split, _ in places}) > 1:
            yield _finding("same-file", places[0], places[1], "are the same file")
    looked_at = [path for path in paths if path in case.facts and case.facts[path].thumbnail is not None]
    by_digest: dict[bytes, list[str]] = defaultdict(list)
    for path in looked_at:
        by_digest[case.facts[path].digest].append(path)
    for same in by_digest.values():
        for one, other in pairwise(same):
            yield _finding("identical-image", paths[one][0], paths[other][0], "have the same content")
    single = [same[0] for same in by_digest.values()]
    thumbnails = [case.facts[path].thumbnail for path in single]
    for pair in near_pairs(np.array(thumbnails, np.uint8).reshape(len(single), THUMBNAIL_PX**2)):
        left, right = (paths[single[index]][0] for index in pair)
        yield _finding("near-identical-image", left, right, "look nearly the same")


def near_pairs(thumbnails: NDArray[np.uint8]) -> Ints:
    """(P, 2) pairs of thumbnails (n, 1024) that look nearly the same, see :func:`check_leaks`; flat ones have none."""
    values = thumbnails.astype(np.float32)
    lively = np.flatnonzero(values.std(1) > _FLAT) if len(values) else np.zeros(0, np.int64)
    values = values[lively]
    values -= values.mean(1, keepdims=True)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    bits = difference_bits(thumbnails[lively])
    found = [np.zeros((0, 2), np.int64)]
    # two hashes that differ in at most k bits are equal in one of k + 1 bands
    for band in np.array_split(np.arange(64), _NUM_BANDS):
        keys = bits[:, band] @ (1 << np.arange(len(band)))
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        for group in np.split(order, starts[1:]):
            found.extend(_pairs_of_group(group, bits, values))
    pairs = np.unique(np.concatenate(found), axis=0)
    return lively[pairs]


def difference_bits(thumbnails: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(n, 64) bits of the difference hash of thumbnails (n, 1024)."""
    square = thumbnails.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX)
    small = [cv2.resize(each, (9, 8), interpolation=cv2.INTER_AREA) for each in square]
    values = np.array(small, np.int64).reshape(-1, 8, 9)
    return (values[..., 1:] > values[..., :-1]).reshape(-1, 64).astype(np.int64)


def _pairs_of_group(group: Ints, bits: Ints, values: NDArray[np.float32]) -> Iterator[Ints]:
    step = max(1, _CHUNK // (64 * max(len(group), 1)))
    small = bits[group].astype(np.float32)
    counts = small.sum(1)
    for start in range(0, len(group) if len(group) > 1 else 0, step):
        part = slice(start, start + step)
        distance = counts[part, None] + counts[None] - 2 * small[part] @ small.T
        one, other = np.nonzero(distance <= MAX_DISTANCE)
        pairs = np.stack([group[one + start], group[other]], axis=1)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        alike = (values[pairs[:, 0]] * values[pairs[:, 1]]).sum(1) >= MIN_CORRELATION
        yield pairs[alike]


def _finding(kind: str, one: tuple[str, str], other: tuple[str, str], what: str) -> Finding:
    if one[0] != other[0]:
        remedy = f"take one out, or {other[0]} measures what was trained on"
        if "train" not in (one[0], other[0]):
            remedy = "take one out"
        return Finding(f"{kind}-in-two-splits", "warning", one[1], f"it and {other[1]} {what}", remedy)
    return Finding(f"{kind}-twice", "note", one[1], f"it and {other[1]} {what}", "keep one")
