"""COCO-format data whose classes come from the annotation file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.registry import DATASETS
from mmdet.visualization import get_palette

from lors_det.errors import InputError


@DATASETS.register_module()
class CocoDetection(CocoDataset):
    """mmdet's CocoDataset, which never drops or swaps a class in silence.

    Without ``metainfo.classes`` the classes are those of the annotation file, in its order. With it, they must be
    exactly those.

    Raises:
        InputError: if the annotation file is missing, malformed or has other classes.
    """

    METAINFO: ClassVar[dict[str, Any]] = {}

    def COCOAPI(self, annotation_file: str) -> COCO:  # noqa: N802, CocoDataset calls its factory so
        """Open the annotation file, check it, and take its classes."""
        content = read_json(annotation_file)
        names = check_coco(content, annotation_file)
        expected = self._metainfo.setdefault("classes", names)
        check_classes(expected, names, annotation_file)
        self._metainfo.setdefault("palette", get_palette("random", len(names)))
        coco = COCO()
        coco.dataset = content  # parsed once: COCO's own file takes ten seconds
        coco.createIndex()
        coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
        return coco


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; an :class:`InputError` that names it where there is none."""
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"annotation file {path} does not exist; check data_root and ann_file") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"annotation file {path} is not valid JSON: {error}") from error


def check_coco(content: Any, path: str | Path) -> tuple[str, ...]:
    """The category names of a COCO annotation file, in its order.

    Raises:
        InputError: if a section or a field is missing, a name is used twice, or an annotation refers to an image
            or a category that does not exist.
    """
    fields = {
        "images": ("id", "file_name", "height", "width"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
        "categories": ("id", "name"),
    }
    for section, names in fields.items():
        if not isinstance(content, dict) or not isinstance(content.get(section), list):
            raise InputError(f'annotation file {path} has no list "{section}"; it must be in COCO detection format')
        for number, entry in enumerate(content[section]):
            missing = [name for name in names if name not in entry]
            if missing:
                raise InputError(f"annotation file {path}: {section}[{number}] lacks {', '.join(missing)}")
    known = {section: {entry["id"] for entry in content[section]} for section in ("images", "categories")}
    for annotation in content["annotations"]:
        for field, section in (("image_id", "images"), ("category_id", "categories")):
            if annotation[field] not in known[section]:
                raise InputError(
                    f"annotation file {path}: annotation {annotation['id']} has {field} {annotation[field]}, which is "
                    f'not among its "{section}"'
                )
    names = tuple(category["name"] for category in content["categories"])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"annotation file {path} has categories of the same name: {', '.join(twice)}")
    return names


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
        f"annotation file {path} does not have the expected classes ({'; '.join(parts)}); expected "
        f"{list(expected)}, found {list(found)}. Drop metainfo.classes to take them from the file"
    )
