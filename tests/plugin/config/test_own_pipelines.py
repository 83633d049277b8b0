"""Augmentation for data of one's own: boxes stay on what they are around, through every step."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose

from lors_det.plugin.config.chosen import open_sizes

PIPELINES = Config.fromfile(Path(__file__).parents[3] / "configs/_base_/pipelines.py")
NAMES = [name for name in PIPELINES if name.startswith("own_") and name != "own_test"]
SIDE = 160


def scene(path: Path, rng: np.random.Generator) -> dict:
    """A photograph of grey noise with two coloured blocks, and what a data set says of it."""
    height, width = rng.integers(120, 260, 2)
    image = rng.integers(30, 60, (height, width, 3)).astype(np.uint8)
    instances = []
    for left in (0.1, 0.55):
        x, y = int(width * left), int(height * rng.uniform(0.1, 0.5))
        w, h = (int(side * rng.uniform(0.2, 0.35)) for side in (width, height))
        image[y : y + h, x : x + w] = (40, 60, 230)  # red, in OpenCV's order
        instances.append(dict(bbox=[float(x), float(y), float(x + w), float(y + h)], bbox_label=0, ignore_flag=0))
    cv2.imwrite(str(path), image)
    return dict(img_path=str(path), img_id=0, height=int(height), width=int(width), instances=instances)


@pytest.mark.parametrize("name", NAMES)
def test_boxes_stay_on_their_objects(tmp_path, name):
    rng = np.random.default_rng(0)
    pipeline = PIPELINES[name]
    for step, key in open_sizes(pipeline):
        step[key] = (SIDE, SIDE)
    transforms = Compose(pipeline)
    seen = 0
    sides = set()
    for number in range(40):
        packed = transforms(scene(tmp_path / f"{number}.png", rng))
        image = packed["inputs"].permute(1, 2, 0).numpy().astype(np.int64)
        red = image[..., 2] - image[..., :2].max(-1) > 30
        covered = np.zeros(red.shape, bool)
        sides.add(max(red.shape))
        for box in packed["data_samples"].gt_instances.bboxes.tensor.numpy():
            x1, y1, x2, y2 = box
            assert min(x1, y1) >= 0
            assert x2 <= red.shape[1] + 1e-3
            assert y2 <= red.shape[0] + 1e-3
            inner = red[int(np.ceil(y1)) : int(y2), int(np.ceil(x1)) : int(x2)]
            if inner.size > 16:
                seen += 1
                assert inner.mean() > 0.8, (number, box)
            covered[max(0, int(y1) - 2) : int(y2) + 3, max(0, int(x1) - 2) : int(x2) + 3] = True
        # what a mosaic or a crop leaves of an object as a sliver may lose its box
        assert (red & ~covered).sum() <= 0.02 * red.size, number
    assert seen > 40
    assert max(sides) <= 1.1 * SIDE + 1
    assert name == "own_mosaic" or len(sides) > 5


def test_a_test_image_is_whole(tmp_path):
    pipeline = PIPELINES.own_test
    for step, key in open_sizes(pipeline):
        step[key] = (SIDE, SIDE)
    info = scene(tmp_path / "image.png", np.random.default_rng(0))
    packed = Compose(pipeline)(info)
    assert max(packed["inputs"].shape[1:]) == SIDE
    assert len(packed["data_samples"].gt_instances) == 2
