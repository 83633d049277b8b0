"""Small data sets in the forms in which people have them: files as a mapping from path to content."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

SIZE = (40, 20)
"""Width and height of the pictures in pixels."""


def picture(size: tuple[int, int] = SIZE, *, orientation: int = 1, form: str = "JPEG") -> bytes:
    """A grey image file; with an orientation, it is to be turned when displayed."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", size, (90, 90, 90)).save(file, form, exif=exif)
    return file.getvalue()


PICTURE = picture()


def lay(root: Path, files: Mapping[str, bytes | str | dict[str, Any]]) -> Path:
    """Write files below ``root``: bytes and text as they are, dictionaries as JSON."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content) if isinstance(content, dict) else content
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def pictures(folder: str, names: str) -> dict[str, bytes]:
    """Images a.jpg, b.jpg of "a b" in a folder."""
    return {f"{folder}/{name}.jpg".lstrip("/"): PICTURE for name in names.split()}


def coco(
    names: str,
    *,
    classes: Sequence[str] = ("dog", "cat"),
    boxes: Sequence[Sequence[float]] = ((4, 2, 10, 8),),
    prefix: str = "",
    first_id: int = 1,
) -> dict[str, Any]:
    """A COCO file of the images "a b": each has the boxes, whose classes alternate."""
    images = [
        {"id": number, "file_name": f"{prefix}{name}.jpg", "width": SIZE[0], "height": SIZE[1]}
        for number, name in enumerate(names.split(), start=1)
    ]
    annotations = []
    for image in images:
        for number, box in enumerate(boxes):
            entry = {"id": len(annotations) + 1, "image_id": image["id"], "bbox": list(box), "area": box[2] * box[3]}
            annotations.append({**entry, "category_id": first_id + number % len(classes), "iscrowd": 0})
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=first_id)]
    return {"images": images, "annotations": annotations, "categories": categories}


def voc(
    *objects: tuple[str, float, float, float, float], size: tuple[int, int] | None = SIZE, filename: str = ""
) -> str:
    """A VOC file; objects are class and 1-based corners."""
    stated = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    texts = []
    for name, *corners in objects:
        keys = ("xmin", "ymin", "xmax", "ymax")
        box = "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, corners))
        texts.append(f"<object><name>{name}</name><bndbox>{box}</bndbox></object>")
    return f"<annotation><filename>{filename}</filename>{stated}{''.join(texts)}</annotation>"
