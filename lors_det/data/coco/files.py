"""Which JSON files of a folder are COCO's detection format, which split each is, and where its images lie."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lors_det.data.listing import Listing, both_ends
from lors_det.data.record import Finding
from lors_det.data.splits import SPLITS, SplitName, split_mentioned, split_of_folders

_DEPTH = 3  # below the set's folder
_OTHER_TASKS = ("captions_", "person_keypoints_", "panoptic_", "image_info_", "stuff_")  # beside COCO's instances_
_SAMPLE = 50  # file names by which the folder of the images is recognised


@dataclass(frozen=True)
class CocoFile:
    """A JSON file with images, categories and annotations of detection; ``content`` as it was read."""

    path: Path
    content: dict[str, Any]


def coco_files(root: Path, listing: Listing, findings: list[Finding]) -> dict[SplitName, CocoFile]:
    """COCO's files by split; one that names no split is "train", if it is the only one. Tells what it passes over."""
    by_split: dict[SplitName | None, list[CocoFile]] = {}
    for path in _candidates(root, listing):
        where = os.path.relpath(path, root)
        try:
            content = json.loads(Path(path).read_bytes())
        except OSError as error:
            findings.append(Finding("malformed-file", "error", where, f"cannot be read ({error.strerror})"))
            continue
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            what = f"is not valid JSON: {error}"
            findings.append(Finding("malformed-file", "error", where, what, "write it again"))
            continue
        reason = _unfit(content)
        if reason is None:
            by_split.setdefault(_split(path, root), []).append(CocoFile(Path(path), content))
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
            ends = both_ends(path)
            if any(key in ends for key in (b'"images"', b'"annotations"', b'"categories"')):
                yield path


def _unfit(content: Any) -> str | None:
    """None for COCO's detection format, "" for something else, and a reason for what nearly is."""
    if not isinstance(content, dict):
        return ""
    sections = [content.get(section) for section in ("images", "categories", "annotations")]
    if not all(isinstance(section, list) and section for section in sections[:2]):
        return ""
    if not isinstance(sections[2], list) or not sections[2]:
        return "lists images but no annotations"
    first = sections[2][0]
    if not isinstance(first, dict) or not ({"bbox", "segmentation"} & set(first)):
        return "its annotations have neither boxes nor outlines"
    return None


def _split(path: str, root: Path) -> SplitName | None:
    folder, name = os.path.split(os.path.relpath(path, root))
    words = name.lower().replace("_", " ")
    if "trainval" in words:
        return "train"
    return split_mentioned(name.rsplit(".", 1)[0]) or split_of_folders(folder)


def image_folder(
    file: CocoFile, split: SplitName, root: Path, listing: Listing, names: Sequence[str]
) -> tuple[str, int] | None:
    """The folder that most images lie in by their ``file_name``, and how many of its first folders are to be left out.

    None if none of the images looked for is anywhere.
    """
    step = max(1, len(names) // _SAMPLE)
    sample = [name.replace("\\", "/") for name in names[::step][:_SAMPLE]]
    deepest = max(name.count("/") for name in sample)
    for options in (_likely(file.path, split, root), [place for place, _ in listing.walk(str(root), depth=6)]):
        for skipped in range(deepest + 1):
            ends = [end for name in sample if (end := without_folders(name, skipped)) is not None]
            hits = {option: sum(listing.holds(os.path.join(option, end)) for end in ends) for option in options}
            best = max(hits, key=lambda option: hits[option])
            if hits[best] * 2 >= len(sample):
                return best, skipped
    # few are there: the folder that has any
    for skipped in range(deepest + 1):
        for place, _ in listing.walk(str(root), depth=6):
            if any((end := without_folders(n, skipped)) and listing.holds(os.path.join(place, end)) for n in names):
                return place, skipped
    return None


def without_folders(name: str, skipped: int) -> str | None:
    """``c/d.jpg`` of ``a/b/c/d.jpg`` for 2; None where there are not so many."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(parts[skipped:]) if skipped < len(parts) else None


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
