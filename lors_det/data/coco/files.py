"""Which JSON files of a folder are COCO's detection format, and which split each is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors_det.data.listing import Listing, both_ends
from lors_det.data.record import Finding
from lors_det.data.splits import SPLITS, SplitName, split_mentioned, split_of_folders

REPAIRED_FROM = "repaired_from"
"""Key of ``info`` by which a repaired copy of a data set is known; it names the set's folder."""

_DEPTH = 3  # below the set's folder
_OTHER_TASKS = ("captions_", "person_keypoints_", "panoptic_", "image_info_", "stuff_")  # beside COCO's instances_


@dataclass(frozen=True)
class CocoFile:
    """A JSON file with images, categories and annotations of detection; ``content`` as it was read."""

    path: Path
    content: dict[str, Any]
    plain: bool = True
    """Whether it is UTF-8 without a byte order mark; pycocotools reads no other."""


def coco_files(root: Path, listing: Listing, findings: list[Finding]) -> dict[SplitName, CocoFile]:
    """COCO's files by split; one that names no split is "train", if it is the only one. Tells what it passes over."""
    by_split: dict[SplitName | None, list[CocoFile]] = {}
    for path in _candidates(root, listing):
        where = os.path.relpath(path, root)
        try:
            raw = Path(path).read_bytes()
            content = json.loads(raw)
        except OSError as error:
            what = f"cannot be read ({error.strerror})"
            findings.append(Finding("malformed-file", "error", where, what, "make it readable, or remove it"))
            continue
        except (ValueError, RecursionError) as error:  # the second of lists in lists in lists
            what = f"is not valid JSON: {error}"
            findings.append(Finding("malformed-file", "error", where, what, "write it again"))
            continue
        reason = unfit(content)
        if reason is None:
            by_split.setdefault(split_of_file(path, root), []).append(
                CocoFile(Path(path), content, plain=json.detect_encoding(raw) == "utf-8")
            )
        elif reason:
            findings.append(Finding("no-annotations", "warning", where, f"{reason}; it is left out"))
    unnamed = by_split.pop(None, [])
    if not by_split and len(unnamed) == 1:
        return {"train": unnamed[0]}
    for file in unnamed:
        what = "names no split in its name or folder, and there are other annotation files; it is left out"
        remedy = "call it train, val or test"
        findings.append(Finding("no-split", "warning", os.path.relpath(file.path, root), what, remedy))
    found: dict[SplitName, CocoFile] = {}
    for split in SPLITS:
        files = by_split.get(split, [])
        files.sort(key=lambda file: (not file.path.name.startswith("instances_"), len(file.path.name), str(file.path)))
        for other in files[1:]:
            what = f"is an annotation file of {split} beside {os.path.relpath(files[0].path, root)}; it is left out"
            findings.append(
                Finding("two-files", "warning", os.path.relpath(other.path, root), what, "keep one of them")
            )
        if files:
            found[split] = files[0]
    return found


def _candidates(root: Path, listing: Listing) -> Iterator[str]:
    for place, names in listing.walk(str(root), _DEPTH):
        instances = any(name.startswith("instances_") for name in names)
        for name in names:
            if not name.lower().endswith(".json") or (instances and name.startswith(_OTHER_TASKS)):
                continue
            path = f"{place}/{name}"
            try:
                ends = both_ends(path)
            except OSError:  # a link that leads nowhere, say: told when it is read
                yield path
                continue
            if any(key in ends for key in (b'"images"', b'"annotations"', b'"categories"')):
                yield path


def unfit(content: Any) -> str | None:
    """None for COCO's detection format, "" for something else, and a reason for what nearly is."""
    if not isinstance(content, dict):
        return ""
    sections = [content.get(section) for section in ("images", "categories", "annotations")]
    if not all(isinstance(section, list) and section for section in sections[:2]):
        return ""
    info = content.get("info")
    if sections[2] == [] and isinstance(info, dict) and REPAIRED_FROM in info:
        return None  # of photographs that were looked at, and show nothing
    if not isinstance(sections[2], list) or not sections[2]:
        return "lists images but no annotations"
    if not any(isinstance(entry, dict) and {"bbox", "segmentation"} & set(entry) for entry in sections[2]):
        return "its annotations have neither boxes nor outlines"
    if all(isinstance(entry, dict) and entry.get("score") is not None for entry in sections[2]):
        return "its annotations have scores, as what a model found has; take these out if people have checked them"
    return None


def split_of_file(path: str | Path, root: Path) -> SplitName | None:
    """The split that an annotation file's name mentions, or that a folder of it is called like."""
    folder, name = os.path.split(os.path.relpath(path, root))
    words = name.lower().replace("_", " ")
    if "trainval" in words:
        return "train"
    return split_mentioned(name.rsplit(".", 1)[0]) or split_of_folders(folder)
