"""COCO-format data whose classes come from the annotation file."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS
from mmdet.visualization import get_palette

from lors_det.data.decoding import pixels_of, why_not_decoded
from lors_det.data.doctor.files import BLACK_PEAK
from lors_det.data.doctor.image_facts import read_image_facts
from lors_det.errors import InputError
from lors_det.plugin.data_contents import contents_of

NUM_LOOKED_AT = 16
"""Images of a set whose depth is read before training."""


@DATASETS.register_module()
class CocoDetection(CocoDataset):
    """mmdet's CocoDataset, which never drops or swaps a class in silence, and names what it cannot read.

    Without ``metainfo.classes`` the classes are those of the annotation file, in its order. With it, they must be
    exactly those.

    Raises:
        InputError: if the annotation file is missing, malformed, has other classes or leaves nothing to train on, or
            images have 16 bits of which only the lower are used; on access, if an image is missing or cannot be
            decoded.
    """

    METAINFO: ClassVar[dict[str, Any]] = {}
    contents: str
    """Of the annotation file, in words, see :func:`lors_det.plugin.data_contents.contents_of`."""

    def COCOAPI(self, annotation_file: str) -> COCO:  # noqa: N802, CocoDataset calls its factory so
        """Open the annotation file, check it, and take its classes."""
        content = read_json(annotation_file)
        if self.test_mode and isinstance(content, dict):
            content.setdefault("annotations", [])  # test sets are published without
        names = check_coco(content, annotation_file)
        expected = self._metainfo.setdefault("classes", names)
        check_classes(expected, names, annotation_file)
        self._metainfo.setdefault("palette", get_palette("random", len(names)))
        coco = COCO()
        coco.dataset = content  # parsed once: COCO's own file takes ten seconds
        coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco

    def load_data_list(self) -> list[dict[str, Any]]:
        """The images and their boxes; a set of 16-bit images that would go black is refused."""
        entries = super().load_data_list()
        self.contents = contents_of(entries)
        # JPEGs have 8 bits; of others, a few tell what all are
        deep = [entry["img_path"] for entry in entries if not entry["img_path"].lower().endswith((".jpg", ".jpeg"))]
        for path in deep[:: max(1, len(deep) // NUM_LOOKED_AT)]:
            facts = read_image_facts(path)
            if facts.bits == 16 and facts.peak < BLACK_PEAK:
                raise InputError(
                    f"image {path} has 16-bit values up to {facts.peak} of 65535, of which only the upper 8 bits are "
                    "read, so that it goes black; scale the values to 0..65535, or convert the images to 8 bits"
                )
        return entries

    def filter_data(self) -> list[dict[str, Any]]:
        kept = super().filter_data()
        if not kept:
            raise InputError(
                f"annotation file {self.ann_file} leaves nothing to train on: it lists {len(self.data_list)} images, "
                "of which none has a box that passes filter_cfg"
            )
        return kept

    def prepare_data(self, idx: int) -> Any:
        try:
            return super().prepare_data(idx)
        except Exception as error:
            path = self.get_data_info(idx)["img_path"]
            if not Path(path).is_file():
                raise InputError(
                    f"image {path} does not exist; the annotation file lists it, so check data_root and data_prefix.img"
                ) from error
            # decoded as the loader does: OpenCV reads what there is of a truncated file, but not of truncated bytes
            if pixels_of(np.fromfile(path, np.uint8)) is None:
                raise InputError(
                    f"image {path} cannot be decoded: {why_not_decoded(path)}; replace it or drop it from the set"
                ) from error
            raise


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; an :class:`InputError` that names it where there is none."""
    try:
        raw = Path(path).read_bytes()
        content = json.loads(raw)
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        remedy = "check data_root and ann_file"
        if Path(path).resolve().is_relative_to(Path("data/coco").resolve()):
            remedy = "lors-det prepare-coco downloads COCO there; if it lies elsewhere, ln -s WHERE data/coco"
        raise InputError(f"annotation file {path} {reason}; {remedy}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"annotation file {path} is not valid JSON: {error}") from error
    if (encoding := json.detect_encoding(raw)) != "utf-8":
        raise InputError(
            f"annotation file {path} is in {encoding}, which pycocotools does not read; write it in UTF-8 without "
            "a byte order mark, as Python's json.dump does"
        )
    return content


_FIELDS = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd"),
    "categories": ("id", "name"),
}


def check_coco(content: Any, path: str | Path) -> tuple[str, ...]:
    """The category names of a COCO annotation file, in its order.

    Raises:
        InputError: if a section, a field or all entries are missing, an id or a category's name is used twice, a size
            or a box is no number, or an annotation refers to an image or a category that does not exist.
    """
    for section, fields in _FIELDS.items():
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            raise InputError(f'annotation file {path} has no list "{section}"; it must be in COCO detection format')
        if not content[section] and section != "annotations":
            raise InputError(f'annotation file {path} lists no {section}: "{section}" is empty')
        for number, entry in enumerate(content[section]):
            missing = [name for name in fields if name not in entry] if isinstance(entry, dict) else fields
            if missing:
                raise InputError(f"annotation file {path}: {section}[{number}] lacks {', '.join(missing)}")
            wrong = [name for name in fields if name.endswith("id") and not isinstance(entry[name], (int, str))]
            if wrong:
                raise InputError(
                    f"annotation file {path}: {section}[{number}].{wrong[0]} is neither a number nor a string"
                )
        ids = Counter(entry["id"] for entry in content[section])
        twice = [name for name, count in ids.items() if count > 1]
        if twice:
            raise InputError(f'annotation file {path}: "{section}" has the id {twice[0]} more than once')

    for image in content["images"]:
        if not (_are_numbers([image["width"], image["height"]], 2) and min(image["width"], image["height"]) > 0):
            raise InputError(
                f"annotation file {path}: image {image['id']} is {image['width']} x {image['height']} pixels; "
                "both must be positive numbers"
            )
    known = {section: {entry["id"] for entry in content[section]} for section in ("images", "categories")}
    for annotation in content["annotations"]:
        for field, section in (("image_id", "images"), ("category_id", "categories")):
            if annotation[field] not in known[section]:
                raise InputError(
                    f"annotation file {path}: annotation {annotation['id']} has {field} {annotation[field]}, which is "
                    f'not among its "{section}"'
                )
        if not _are_numbers(annotation["bbox"], 4):
            raise InputError(
                f"annotation file {path}: annotation {annotation['id']} has bbox {annotation['bbox']}; it must be four "
                "finite numbers, x, y, width, height in pixels"
            )
    names = tuple(category["name"] for category in content["categories"])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"annotation file {path} has categories of the same name: {', '.join(twice)}")
    return names


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
    )


def check_classes(expected: Sequence[str], found: Sequence[str], path: str | Path) -> None:
    """Refuse classes that differ from those of the annotation file, in name or in order.

    Raises:
        InputError: it names the missing, extra or reordered classes.
    """
    if tuple(expected) == tuple(found):
        return
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    parts = [f"missing: {', '.join(missing)}"] if missing else []
    parts += [f"extra: {', '.join(extra)}"] if extra else []
    if not parts:
        moved = [name for name, other in zip(expected, found) if name != other]
        parts = [f"in another order: {', '.join(moved)}"]
    raise InputError(
        f"annotation file {path} does not have the expected classes ({'; '.join(parts)}); expected {list(expected)}, "
        f"found {list(found)}. The classes come from metainfo.classes or, without it, from the first annotation file; "
        "all files must list the same categories in the same order"
    )
