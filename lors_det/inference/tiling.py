"""Small objects in large images: each part of an image at the network's full resolution, and the image as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms

from lors_det.errors import InputError
from lors_det.inference.detections import Detections
from lors_det.inference.detector import Detector
from lors_det.inference.images import ImageLike
from lors_det.inference.streaming import batched, call, check_many, with_image

CUT_MARGIN = 0.01
"""Of a tile's side: a box that ends so near a cut may be of a cut object; a network ends its box about there."""


class Tile(NamedTuple):
    """A part of an image in pixels; the right and the bottom edge are beyond it."""

    left: int
    top: int
    right: int
    bottom: int


class TiledDetector:
    """A detector that also looks at overlapping tiles of each image, and merges what it finds by NMS.

    A box that ends at an edge of its tile inside the image is left out: a cut object is whole in the next tile where it
    is no larger than the overlap, and in the image as a whole otherwise. What is left of one class and overlaps more
    than ``iou_threshold`` is one object, and the best of it stays.

    Args:
        detector: of the tiles and of the whole image; its threshold and classes hold.
        tile: width and height of a tile in pixels; what is smaller is not tiled.
        overlap: of neighbouring tiles, as a share of their size; at least that of the largest small object.
        batch_size: tiles that are computed together.
        iou_threshold: as test-time augmentation has it.

    Raises:
        InputError: if the tile, a share or the batch size is out of range.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        tile: int,
        overlap: float = 0.2,
        batch_size: int = 1,
        iou_threshold: float = 0.6,
    ) -> None:
        if tile < 32:
            raise InputError(f"tile is {tile} pixels; it must be at least 32")
        if not 0 <= overlap < 0.9:
            raise InputError(f"the overlap of tiles is {overlap}; it must be at least 0 and less than 0.9")
        if not 0 <= iou_threshold <= 1:
            raise InputError(f"iou_threshold is {iou_threshold}; it must be between 0 and 1")
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be at least 1")
        self.classes = detector.classes
        self._detector, self._tile, self._overlap = detector, tile, overlap
        self._batch_size, self._iou_threshold = batch_size, iou_threshold

    @overload
    def __call__(self, images: ImageLike) -> Detections: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, images: Iterable[ImageLike]) -> list[Detections]: ...

    def __call__(self, images: Any) -> Detections | list[Detections]:
        """Detections of an image, or a list of them for many, see :class:`Detector`."""
        return call(self.stream, images, 1)

    def stream(self, images: Iterable[ImageLike], *, batch_size: int = 1) -> Iterator[Detections]:
        """Detections of one image after the other; batches are of tiles, never of several images.

        Raises:
            InputError: if an image is missing or none, or one came in place of several.
        """
        check_many(images)
        for image in images:
            yield with_image(self._detect_one(self.read(image)), image)

    def read(self, image: ImageLike) -> NDArray[np.uint8]:
        """An image as an RGB array, see :meth:`Detector.read`."""
        return self._detector.read(image)

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detections of RGB arrays, see :meth:`Detector.detect`."""
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: NDArray[np.uint8]) -> Detections:
        height, width = image.shape[:2]
        (whole,) = self._detector.detect([image])
        # an object as large as the overlap is to be clear of the cuts in one of both tiles
        tiles = tiles_of(width, height, tile=self._tile, overlap=self._overlap + 2 * CUT_MARGIN)
        if len(tiles) < 2:
            return whole
        parts = [whole]
        for batch in batched(tiles, self._batch_size):
            cut = [np.ascontiguousarray(image[tile.top : tile.bottom, tile.left : tile.right]) for tile in batch]
            for tile, found in zip(batch, self._detector.detect(cut)):
                inside = found[~ends_at_cut(found.boxes, tile, width=width, height=height)]
                parts.append(replace(inside, boxes=inside.boxes + np.array([tile.left, tile.top] * 2, np.float32)))
        return self._merge(parts, whole)

    def _merge(self, parts: Sequence[Detections], whole: Detections) -> Detections:
        everything = replace(
            whole,
            boxes=np.concatenate([part.boxes for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
        )
        arrays = (torch.from_numpy(each) for each in (everything.boxes, everything.scores, everything.labels))
        return everything[batched_nms(*arrays, self._iou_threshold).numpy()]


def tiles_of(width: int, height: int, *, tile: int, overlap: float) -> list[Tile]:
    """Tiles that cover an image, row by row, all of one size; neighbours share at least ``overlap`` of it.

    Fewest tiles that do so, spread evenly; an image that is no larger is a single one.
    """
    lefts, tops = (_starts(size, tile, overlap) for size in (width, height))
    return [Tile(left, top, min(left + tile, width), min(top + tile, height)) for top in tops for left in lefts]


def _starts(size: int, tile: int, overlap: float) -> list[int]:
    if size <= tile:
        return [0]
    step = max(1, int(tile * (1 - overlap)))
    count = 1 + -(-(size - tile) // step)
    return [round(number * (size - tile) / (count - 1)) for number in range(count)]


def ends_at_cut(boxes: NDArray[np.float32], tile: Tile, *, width: int, height: int) -> NDArray[np.bool_]:
    """(n,), whether a box in a tile's own pixels ends near an edge of it that is none of the image."""
    tile_width, tile_height = tile.right - tile.left, tile.bottom - tile.top
    x_margin, y_margin = tile_width * CUT_MARGIN, tile_height * CUT_MARGIN
    x1, y1, x2, y2 = boxes.T
    return (
        ((x1 < x_margin) & (tile.left > 0))
        | ((y1 < y_margin) & (tile.top > 0))
        | ((x2 > tile_width - x_margin) & (tile.right < width))
        | ((y2 > tile_height - y_margin) & (tile.bottom < height))
    )
