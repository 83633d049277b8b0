"""What reading a folder of one's own data gives, whatever form it lies in: splits as COCO records, and findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Level = Literal["error", "warning", "note"]
"""An error means that training makes no sense before it is mended; a warning that figures may suffer."""


@dataclass(frozen=True)
class Finding:
    """Something about the data that its owner should know."""

    kind: str
    """Short and stable, for tests and counts: "no-area", "missing-image", ..."""
    level: Level
    where: str
    """File, image, line or annotation id."""
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class Split:
    """One split, as a record in COCO's detection format."""

    name: Literal["train", "val", "test"]
    image_root: Path
    """What ``file_name`` of the record's images is relative to; the images stay where they lie."""
    content: dict[str, Any]
    """images, annotations, categories; boxes are x, y, width, height in pixels of the image as it is displayed."""
    source: str
    """Where it was read, in words: an annotation file, a list, "20 of 100 images of train", ..."""
    annotation_file: Path | None = None
    """A file that trains as ``content`` does, where the folder has one: of a training split it may hold boxes without
    area as well, which training leaves out."""


@dataclass(frozen=True)
class DataFolder:
    """A folder as it was recognised."""

    root: Path
    form: Literal["COCO", "Pascal VOC", "YOLO"]
    classes: tuple[str, ...]
    """Of every split, in this order; categories of every record."""
    splits: dict[str, Split]
    """By name: train, val, test; never empty."""
    findings: tuple[Finding, ...] = field(default=())
    """What the readers met: files that are missing or malformed, boxes left out, categories left out, and so on."""
    name: str = ""
    """Of one of several sets in the folder; empty where it is the folder's."""

    @property
    def called(self) -> str:
        """What folders of runs on it are called."""
        return self.name or self.root.name
