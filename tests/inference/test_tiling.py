"""Tiles cover an image, and what they find is put together again."""

from __future__ import annotations

import numpy as np
import pytest

from lors_det.errors import InputError
from lors_det.inference import Detections, TiledDetector
from lors_det.inference.tiling import Tile, ends_at_cut, tiles_of


@pytest.mark.parametrize(("width", "height"), [(1000, 700), (321, 320), (320, 100), (50, 2000), (640, 640)])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5])
def test_tiles_of_one_size_cover_the_image_and_overlap(width, height, overlap):
    tiles = tiles_of(width, height, tile=320, overlap=overlap)
    seen = np.zeros((height, width), bool)
    for left, top, right, bottom in tiles:
        assert (right - left, bottom - top) == (min(320, width), min(320, height))
        seen[top:bottom, left:right] = True
    assert seen.all()
    for axis in (0, 1):
        starts = sorted({tile[axis] for tile in tiles})
        assert all(0 < step <= 320 * (1 - overlap) + 1 for step in np.diff(starts))


def test_boxes_that_the_cut_ends_are_told_from_those_at_the_images_edge():
    boxes = np.array([[0, 20, 50, 60], [20, 20, 99.9, 60], [20, 0.3, 50, 60], [5, 5, 50, 95]], np.float32)
    inner, corner = Tile(100, 100, 200, 200), Tile(0, 0, 100, 100)
    assert ends_at_cut(boxes, inner, width=400, height=400).tolist() == [True, True, True, False]
    assert ends_at_cut(boxes, corner, width=400, height=400).tolist() == [False, True, False, False]
    assert not ends_at_cut(boxes, corner, width=100, height=100).any()


class BrightSpots:
    """Finds each bright object exactly, if its image is no larger than a limit: a network that misses small ones."""

    classes = ("spot",)

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def read(self, image):
        return image

    def detect(self, images):
        return [self.one(image) for image in images]

    def one(self, image) -> Detections:
        boxes = []
        height, width = image.shape[:2]
        for value in np.unique(image[image > 0]) if max(height, width) <= self.limit else ():
            rows, columns = np.nonzero(image[..., 0] == value)
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        count = len(boxes)
        found = np.array(boxes, np.float32).reshape(-1, 4)
        scores, labels = np.full(count, 0.9, np.float32), np.zeros(count, np.int64)
        return Detections(found, scores, labels, self.classes, (width, height), image)


def spots(boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    image = np.zeros((300, 400, 3), np.uint8)
    for number, (x1, y1, x2, y2) in enumerate(boxes, 1):
        image[y1:y2, x1:x2] = number * 20
    return image


def test_small_objects_are_found_once_wherever_the_cuts_are():
    boxes = [(3, 4, 13, 12), (85, 90, 110, 110), (150, 70, 175, 95), (390, 290, 400, 300), (200, 0, 220, 20)]
    image = spots(boxes)
    blind = BrightSpots(limit=128)
    assert len(blind.one(image)) == 0
    for batch_size in (1, 5):
        found = TiledDetector(blind, tile=128, overlap=0.3, batch_size=batch_size)(image)
        assert sorted(map(tuple, found.boxes.tolist())) == sorted(boxes)
        assert found.image_size == (400, 300)


@pytest.mark.parametrize("side", [10, 36, 38])
def test_an_object_as_large_as_the_overlap_is_found_wherever_it_lies(side):
    """38 pixels are 0.3 of a tile."""
    tiled = TiledDetector(BrightSpots(limit=128), tile=128, overlap=0.3)
    for left in range(400 - side):
        assert len(tiled(spots([(left, 100, left + side, 100 + side)]))) == 1, left


def test_large_objects_come_from_the_whole_image_and_not_in_pieces():
    boxes = [(20, 20, 380, 280)]
    found = TiledDetector(BrightSpots(limit=1000), tile=128)(spots(boxes))
    assert list(map(tuple, found.boxes.tolist())) == boxes


def test_an_image_no_larger_than_a_tile_is_seen_once(detector, trained):
    tiled = TiledDetector(detector, tile=64)
    found, expected = tiled(trained.images[0]), detector(trained.images[0])
    assert np.array_equal(found.boxes, expected.boxes)
    assert found.image == trained.images[0]
    assert [each.image_size for each in tiled(trained.images)] == [each.image_size for each in detector(trained.images)]


def test_tiles_of_a_model_are_merged_best_first(detector, trained):
    image = np.tile(detector.read(trained.images[0]), (3, 3, 1))
    found, whole = TiledDetector(detector, tile=64, batch_size=4)(image), detector(image)
    assert len(found)
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores[0] >= whole.scores[0]
    assert found.image_size == (192, 192)


def test_wrong_sizes_are_refused(detector):
    with pytest.raises(InputError, match="tile is 8 pixels"):
        TiledDetector(detector, tile=8)
    with pytest.raises(InputError, match=r"overlap of tiles is 0\.9"):
        TiledDetector(detector, tile=64, overlap=0.9)
    for wrong in (-1, 5, float("nan")):
        with pytest.raises(InputError, match=r"iou_threshold is .*between 0 and 1"):
            TiledDetector(detector, tile=64, iou_threshold=wrong)
    with pytest.raises(InputError, match="batch_size is 0"):
        TiledDetector(detector, tile=64, batch_size=0)
