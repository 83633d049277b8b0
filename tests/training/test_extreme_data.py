"""Images and boxes at the edges of what there is train without a number that is not finite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from references.tiny import make_data, runner_of, tiny_config

NAMES = ["disc", "square", "triangle", "star", "cross", "ring"]
EXTREMES: dict[str, tuple[tuple[int, int], list[dict[str, Any]]]] = {  # (width, height), annotations
    "no box": ((64, 64), []),
    "one pixel": ((1, 1), []),
    "one pixel with a box": ((1, 1), [dict(bbox=[0, 0, 1, 1])]),
    "a line of pixels": ((64, 1), [dict(bbox=[3, 0, 20, 1])]),
    "a crowd alone": ((64, 64), [dict(bbox=[4, 4, 50, 50], iscrowd=1)]),
    "a crowd and an object": ((64, 64), [dict(bbox=[4, 4, 50, 50], iscrowd=1), dict(bbox=[10, 10, 20, 20])]),
    "outside": ((64, 64), [dict(bbox=[100, 100, 20, 20])]),
    "partly outside": ((64, 64), [dict(bbox=[-20, -20, 50, 50]), dict(bbox=[50, 50, 40, 40])]),
    "around the image": ((64, 64), [dict(bbox=[-500, -500, 1500, 1500])]),
    "tiny": ((64, 64), [dict(bbox=[30.2, 30.2, 0.01, 0.01]), dict(bbox=[10, 10, 1, 1])]),
    "thin": ((64, 64), [dict(bbox=[0, 30, 64, 0.05])]),
    "without area": ((64, 64), [dict(bbox=[10, 10, 0, 10])]),
    "the whole image": ((64, 64), [dict(bbox=[0, 0, 64, 64])]),
    "the same box many times": ((64, 64), [dict(bbox=[10, 10, 20, 20])] * 30),
    "2000 boxes": ((64, 64), [dict(bbox=[x % 50, x // 50, 10, 10]) for x in range(2000)]),
}


def write_set(folder: Path, names: list[str]) -> Path:
    """An annotation file of these images beside those of the shapes; returns its path."""
    images, annotations = [], []
    for number, name in enumerate(names):
        (width, height), boxes = EXTREMES[name]
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"train/extreme_{number}.png")
        images.append(dict(id=number, file_name=f"extreme_{number}.png", width=width, height=height))
        for box in boxes:
            area = max(0.0, box["bbox"][2] * box["bbox"][3])
            annotations.append(dict(iscrowd=0, area=area, id=len(annotations), image_id=number, category_id=1) | box)
    categories = [dict(id=number + 1, name=name) for number, name in enumerate(NAMES)]
    path = folder / "annotations/extreme.json"
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return path


@pytest.mark.parametrize("batch_size", [1, 5])
def test_training_stays_finite(tmp_path, batch_size):
    data = make_data(tmp_path / "shapes")
    write_set(data, [*EXTREMES])
    options = {
        "train_cfg.max_epochs": 2,
        "train_cfg.val_interval": 2,
        "randomness.seed": 0,
        "train_dataloader.batch_size": batch_size,
        "train_dataloader.dataset.ann_file": "annotations/extreme.json",
        "train_dataloader.dataset.filter_cfg": dict(filter_empty_gt=False),
    }
    cfg = tiny_config(data, tmp_path / "run", **options)
    runner = runner_of(cfg)
    runner.train()
    assert runner.iter == 2 * len(EXTREMES) // batch_size
    losses = runner.message_hub.log_scalars["train/loss"].data[0]
    assert np.isfinite(losses).all()
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    assert torch.load(tmp_path / "run/epoch_2.pth", weights_only=True)["meta"]["iter"] == runner.iter
