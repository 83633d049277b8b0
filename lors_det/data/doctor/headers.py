"""Annotated sizes against the headers of the image files, which takes no decoding: the least to look at, always."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lors_det.data.decoding import pixels_of
from lors_det.data.doctor.case import Case
from lors_det.data.doctor.image_facts import ImageFacts
from lors_det.data.doctor.sizes import check_sizes
from lors_det.data.images import Header, read_headers
from lors_det.data.record import Finding


def check_headers(case: Case) -> Iterator[Finding]:
    """What :func:`check_sizes` finds by the headers, and an error for each file that has none and is not decoded."""
    where = {path: table.image(index) for table in case.tables for index, path in enumerate(table.paths)}
    facts = {}
    for path, header in zip(where, read_headers(where)):
        if isinstance(header, Header):
            facts[path] = ImageFacts(size=header.size, orientation=header.orientation)
        else:
            facts[path] = ImageFacts("undecodable")
            if not _is_decoded(path):
                yield Finding("unreadable-image", "error", where[path], f"{header}".removeprefix(f"{path} "))
    yield from check_sizes(replace(case, facts=facts))


def _is_decoded(path: str) -> bool:
    """Whether training can read it all the same: Pillow, which reads headers, knows other formats than OpenCV."""
    try:
        return pixels_of(np.fromfile(path, np.uint8)) is not None
    except OSError:
        return False
