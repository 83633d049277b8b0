"""A folder of one's own data, in whatever form it lies, made splits in COCO's format. No image is copied.

Kinds of findings: missing-image, unreadable-image, no-image, image-folder, missing-folder, malformed-file,
malformed-entry, malformed-line, malformed-box, missing-label, no-label, no-image-of-label, label-of-two-images,
label-elsewhere, listed-twice, ambiguous-line, no-area, outside, size-differs, no-size, zero-based, not-normalised,
outlines, predictions, class-range, class-names, class-count, class-names-twice, class-extra, class-missing,
class-order, class-ids, category-id-order, umbrella-category, duplicate-image-id, duplicate-category-id,
annotation-id-0, unknown-image, filled-in, same-split, no-split, two-files, unread-format, no-annotations, no-box.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lors_det.data.coco.reader import read_coco
from lors_det.data.images import is_image
from lors_det.data.listing import Listing
from lors_det.data.record import DataFolder, Finding
from lors_det.data.splits import VAL_FRACTION, complete, present, split_called
from lors_det.data.unknown_form import FORMS, unknown_form
from lors_det.data.voc.reader import read_voc
from lors_det.data.yolo.layout import NAME_FILES
from lors_det.data.yolo.reader import read_folders, read_yaml_file, read_yaml_set
from lors_det.errors import InputError

# what says more about itself comes first; label files without a YAML file name no classes
_READERS: tuple[Callable[[Path, Listing], DataFolder | None], ...] = (
    read_yaml_set,
    read_coco,
    read_voc,
    read_folders,
)
_INNER = 2  # folders of an unpacked archive around the set
_PARTS = {"annotations", "images", "imageset", "imagesets", "jpegimages", "labels"}


def read_folder(root: Path, *, val_fraction: float = VAL_FRACTION, to_train: bool = True) -> DataFolder:
    """Read a set in YOLO's, COCO's or Pascal VOC's form; the set may be in a single sub-folder.

    What cannot be used is left out and told in the findings, and the reading goes on.

    Args:
        root: the folder, or a YAML file that describes a set of YOLO's form.
        val_fraction: where there is no val split, the share of train that becomes one, by the file names: the same each
            time, see :func:`lors_det.data.chosen_val.chosen_for_val`.
        to_train: whether there must be a train and a val split; else the splits are those that are there.

    Raises:
        InputError: if the folder does not exist or is of no known form, a file that describes the whole set is
            malformed, or there are fewer than two images to train on and to validate.
    """
    if not 0 < val_fraction < 1:
        raise InputError(f"the share of val is {val_fraction:g}, it must be above 0 and below 1")
    if root.is_file() and root.suffix.lower() in (".yaml", ".yml"):
        described = read_yaml_file(Path(os.path.abspath(root)), Listing(), [])
        described = replace(described, name=f"{described.root.name}-{root.stem}")
        return _completed(described, val_fraction if to_train else None)
    if not root.is_dir():
        reason = "is a file; name the folder that holds it" if root.exists() else "does not exist"
        raise InputError(f"{root} {reason}. It must be a folder, or the YAML file of a YOLO set, with data as: {FORMS}")
    listing = Listing()
    place = _innermost(Path(os.path.abspath(root)), listing)
    for read in _READERS:
        folder = read(place, listing)
        if folder is not None:
            return _completed(folder, val_fraction if to_train else None)
    raise unknown_form(place, listing)


def _innermost(root: Path, listing: Listing) -> Path:
    """The folder in which the set begins: not one with a single folder and no file of a set, as archives have."""
    for _ in range(_INNER):
        folders, files = listing.folders(str(root)), listing.files(str(root))
        if len(folders) != 1 or any(map(_is_of_a_set, files)):
            break
        if folders[0].lower() in _PARTS or split_called(folders[0]):
            break
        root = root / folders[0]
    return root


def _is_of_a_set(name: str) -> bool:
    low = name.lower()
    stem = low.rsplit(".", 1)[0]
    described = low.endswith((".json", ".xml", ".yaml", ".yml")) or low in NAME_FILES
    return described or is_image(name) or (low.endswith(".txt") and split_called(stem) is not None)


def _completed(folder: DataFolder, val_fraction: float | None) -> DataFolder:
    """With a val split, where one is made at all, and told of boxes that are nowhere."""
    try:
        splits = complete(folder.splits, val_fraction) if val_fraction else present(folder.splits)
    except InputError as error:
        told = "; ".join(str(f) for f in folder.findings if f.level != "note" and f.kind != "class-missing")
        raise InputError(f"{folder.root}: {error}" + (f" ({told[:500]})" if told else "")) from error
    findings = [
        Finding("no-box", "error", name, f"none of its images ({len(splits[name].content['images']):,}) has a box")
        for name in splits
        if (name != "test" or not val_fraction) and not splits[name].content["annotations"]
    ]
    return replace(folder, splits=splits, findings=(*folder.findings, *findings))


def summary_rows(folder: DataFolder) -> list[tuple[str, int, int, int, str]]:
    """For a table: of each split its name, images, images without boxes, boxes, and where it was read."""
    rows = []
    for name, split in folder.splits.items():
        with_boxes = {annotation["image_id"] for annotation in split.content["annotations"]}
        images = len(split.content["images"])
        boxes = len(split.content["annotations"])
        rows.append((name, images, images - len(with_boxes), boxes, split.source))
    return rows
