"""One split of a Pascal VOC set as a COCO record. What is wrong stops it; blemishes are named, never passed over."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lors_det.data.images import IMAGE_SUFFIXES, displayed_sizes
from lors_det.data.voc.xml import class_name_of, object_of, parse_xml, size_of
from lors_det.errors import InputError

Difficult = Literal["crowd", "keep", "drop"]


@dataclass(frozen=True)
class Dropped:
    """A box that the COCO record lacks; `corners` are the XML's xmin, ymin, xmax, ymax (1-based pixels)."""

    image: str
    class_name: str
    corners: tuple[float, float, float, float]
    reason: Literal["no area", "difficult"]


def _check_folders(voc_root: Path) -> None:
    parts = ("Annotations", "ImageSets/Main", "JPEGImages")
    if missing := [str(voc_root / part) for part in parts if not (voc_root / part).is_dir()]:
        raise FileNotFoundError(
            f"{voc_root} is no Pascal VOC set: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; "
            f"a set holds {', '.join(parts)}"
        )


def _stems(voc_root: Path, split: str) -> list[str]:
    """Names listed in a split. Class-wise lists ("000012 -1") count as lists of images."""
    lists = voc_root / "ImageSets" / "Main"
    path = lists / f"{split}.txt"
    if not path.is_file():
        found = ", ".join(sorted(p.stem for p in lists.glob("*.txt"))) or "none"
        raise FileNotFoundError(f"no split {split!r}: {path} is missing; splits that exist: {found}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8 ({error}); write it so") from error
    stems = [line.strip() for line in text.splitlines() if line.strip()]
    known = {xml.stem for xml in (voc_root / "Annotations").glob("*.xml")}
    return [stem if stem in known else re.sub(r"\s+(-1|0|1)$", "", stem) for stem in stems]


def _all_class_names(voc_root: Path) -> list[str]:
    """Every class name in the annotations of all splits, sorted; a test split may lack annotations."""
    lists = (voc_root / "ImageSets" / "Main").glob("*.txt")
    stems = {stem for path in lists for stem in _stems(voc_root, path.stem)}
    files = [voc_root / "Annotations" / f"{stem}.xml" for stem in sorted(stems)]
    return sorted({class_name_of(o, f) for f in files if f.is_file() for o in parse_xml(f).findall("object")})


def _image_names(voc_root: Path) -> dict[str, str]:
    """File name in JPEGImages of each stem; of several, the first by `IMAGE_SUFFIXES`."""
    files = [p for p in (voc_root / "JPEGImages").glob("*") if p.suffix.lower() in IMAGE_SUFFIXES]
    files.sort(key=lambda p: (IMAGE_SUFFIXES.index(p.suffix.lower()), p.name), reverse=True)
    return {p.stem: p.name for p in files}


def _sizes_that_differ(folder: Path, images: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Images whose files have another size than is stated; of a file that is not read, nothing is known here."""
    found = []
    for image, size in zip(images, displayed_sizes([str(folder / image["file_name"]) for image in images])):
        stated = [image["width"], image["height"]]
        if not isinstance(size, InputError) and list(size) != stated:
            found.append({"image": image["file_name"], "width": size[0], "height": size[1], "stated": stated})
    return found


def convert_voc(
    voc_root: Path, split: str, *, classes: Sequence[str] | None = None, difficult: Difficult = "crowd"
) -> tuple[dict[str, Any], list[Dropped]]:
    """COCO record of ImageSets/Main/<split>.txt and the boxes left out of it.

    VOC's corners are 1-based pixels. As in mmdet's XMLDataset, x = xmin - 1, y = ymin - 1, w = xmax - xmin
    and h = ymax - ymin; fractions are kept. Boxes are then clipped to the image: those without area are
    dropped, those that only stick out are named in info["clipped"]. `file_name` is relative to JPEGImages. Images whose
    files have another size than the XML states are named in info["sizes_differ"]; info["first_corners"] counts boxes
    whose smallest corner is 0, and 1.

    `classes` gives the categories, ids from 1 in that order; without it they are all names in the annotations
    of all splits, sorted, so that every split gets the same. `difficult` objects become "crowd" (iscrowd = 1,
    ignored in training and evaluation), ordinary boxes ("keep"), or are dropped and reported ("drop").

    Raises FileNotFoundError for a missing folder, split, XML or image and InputError for malformed content, an
    empty split, an unknown class, no class at all and arguments out of range; messages name the file.
    """
    if difficult not in get_args(Difficult):
        raise InputError(f"difficult is {difficult!r}, it must be one of {', '.join(get_args(Difficult))}")
    _check_folders(voc_root)
    stems = _stems(voc_root, split)
    listing = voc_root / "ImageSets" / "Main" / f"{split}.txt"
    if not stems:
        raise InputError(f"{listing} lists no image; write one name without suffix a line")
    if repeated := sorted(stem for stem, count in Counter(stems).items() if count > 1):
        raise InputError(f"{listing} lists {', '.join(repeated)} more than once; keep one line each")
    names = list(_all_class_names(voc_root) if classes is None else classes)
    if not names and classes is None:
        raise InputError(
            f"no file of {voc_root / 'Annotations'} that a split lists has an <object> to tell the classes; "
            "add annotations or name the classes"
        )
    if not names or len(set(names)) < len(names):
        raise InputError(f"classes are {names}, there must be at least one, each once")
    image_names = _image_names(voc_root)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    dropped: list[Dropped] = []
    clipped: list[dict[str, Any]] = []
    first_corners: Counter[float] = Counter()
    for image_id, stem in enumerate(stems, start=1):
        xml = voc_root / "Annotations" / f"{stem}.xml"
        if not xml.is_file():
            raise FileNotFoundError(f"{xml} is missing; add it or take {stem} out of {listing}")
        if stem not in image_names:
            place = voc_root / "JPEGImages" / stem
            raise FileNotFoundError(f"no image {place}.* ({', '.join(IMAGE_SUFFIXES)}); add it or edit {listing}")
        root = parse_xml(xml)
        width, height = size_of(root, xml)
        name = image_names[stem]
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for node in root.findall("object"):
            found = object_of(node, xml)
            if found.class_name not in names:
                raise InputError(
                    f"{xml}: class {found.class_name!r} is unknown, allowed: {', '.join(names)}; name all classes of "
                    "the set, or none"
                )
            first_corners[min(found.corners[:2])] += 1
            left, top, right, bottom = (corner - 1 for corner in found.corners)
            inner = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
            w, h = inner[2] - inner[0], inner[3] - inner[1]
            if w <= 0 or h <= 0:
                dropped.append(Dropped(name, found.class_name, found.corners, "no area"))
                continue
            if found.difficult and difficult == "drop":
                dropped.append(Dropped(name, found.class_name, found.corners, "difficult"))
                continue
            if inner != (left, top, right, bottom):
                clipped.append({"image": name, "class": found.class_name, "corners": list(found.corners)})
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": names.index(found.class_name) + 1,
                    "bbox": [*inner[:2], w, h],
                    "area": w * h,
                    "iscrowd": int(found.difficult and difficult == "crowd"),
                }
            )
    info = {
        "description": f"Pascal VOC annotations, split {split}",
        "difficult": difficult,
        "clipped": clipped,
        "sizes_differ": _sizes_that_differ(voc_root / "JPEGImages", images),
        "first_corners": [first_corners[0], first_corners[1]],
    }
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return {"info": info, "licenses": [], **content}, dropped
