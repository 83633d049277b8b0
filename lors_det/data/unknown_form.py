"""A folder whose form no reader knows: what is there, and what it could be."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from lors_det.data.coco.files import unfit
from lors_det.data.images import is_image
from lors_det.data.listing import Listing, both_ends
from lors_det.errors import InputError

FORMS = (
    "YOLO (data.yaml, or images with labels/*.txt), COCO (JSON with images, annotations, categories) "
    "and Pascal VOC (an XML file for each image)"
)

COCO = ("images", "annotations", "categories")
"""The lists of a COCO file."""

MOST_BYTES = 50_000_000
"""Larger JSON files are not read to tell what is wrong with them."""

_EXPORT = "export or convert it to COCO's format"
_ARCHIVE = "an archive"
_BY_SUFFIX = {
    ".csv": "a table (CSV)",
    ".tfrecord": "TFRecord files",
    ".tfrecords": "TFRecord files",
    ".record": "TFRecord files",
    ".parquet": "Parquet files",
    ".zip": _ARCHIVE,
    ".tar": _ARCHIVE,
    ".gz": _ARCHIVE,
}
_IN_JSON = {b'"shapes"': "LabelMe's JSON", b"_via_": "VIA's JSON", b'"regions"': "VIA's JSON"}
_IN_XML = {b"<annotations": "CVAT's XML"}


def unknown_form(root: Path, listing: Listing) -> InputError:
    """The error that says what is recognised, counts the files by suffix, and names forms that others use."""
    suffixes: Counter[str] = Counter()
    known: Counter[str] = Counter()
    folders_of_images: set[str] = set()
    broken: list[str] = []
    lacking: list[str] = []
    for place, names in listing.walk(str(root)):
        for name in names:
            suffix = os.path.splitext(name)[1].lower()
            suffixes[suffix or "without suffix"] += 1
            if suffix in _BY_SUFFIX:
                known[_BY_SUFFIX[suffix]] += 1
            if suffix == ".json" and len(broken) + len(lacking) < 3:
                fault, lack = _faults_of_json(Path(place, name))
                where = os.path.relpath(f"{place}/{name}", root)
                if fault:
                    broken.append(f"{where} is no JSON ({fault})")
                elif lack:
                    lacking.append(f"{where} {lack}")
            if suffix in (".json", ".xml") and sum(known.values()) < 20:
                try:
                    ends = both_ends(f"{place}/{name}")
                except OSError:  # a link that leads nowhere, say
                    continue
                for mark, form in (_IN_JSON if suffix == ".json" else _IN_XML).items():
                    if mark in ends:
                        known[form] += 1
        if any(is_image(name) for name in names):
            folders_of_images.add(place)
    found = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common(6)) or "no file"
    message = f"{root} holds no data set of a known form. Known are {FORMS}. Found: {found}"
    if broken:
        return InputError(f"{message}; {'; '.join(broken)}: download or export it again")
    if known:
        likeliest = [form for form, _ in known.most_common(2)]
        remedy = "unpack it, and name the folder that it makes" if likeliest[0] == _ARCHIVE else _EXPORT
        return InputError(f"{message}; it looks like {' or '.join(likeliest)}: {remedy}")
    if lacking:
        return InputError(f"{message}; {'; '.join(lacking)}: {_EXPORT}")
    if len(folders_of_images) > 1:
        return InputError(
            f"{message}; images in {len(folders_of_images)} folders without annotations look like a set for "
            "classification, which has no boxes"
        )
    return InputError(f"{message}; the images, if any, are not annotated")


def _faults_of_json(path: Path) -> tuple[str | None, str | None]:
    """Why a file is no JSON, and what it lacks of COCO's form; None where nothing, or it is too large to look."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None, None
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        return str(error), None
    if not isinstance(content, dict):
        return None, f"holds a {type(content).__name__}, not a dictionary"
    missing = [name for name in COCO if not isinstance(content.get(name), list)]
    return None, f"has no list of {' and of '.join(missing)}" if missing else unfit(content) or None
