"""Predictions find the split that they are of, also where another has images of the same names."""

from __future__ import annotations

import shutil

import pytest
from references.tiny import tiny_config

from lors_det.errors import InputError
from lors_det.plugin.config.data import build_set_of


def test_the_split_of_the_predictions_is_found_by_their_folders(data, tmp_path):
    shutil.copytree(data / "val", tmp_path / "shapes/test")
    shutil.copytree(data / "val", tmp_path / "shapes/val")
    shutil.copytree(data / "annotations", tmp_path / "shapes/annotations")
    cfg = tiny_config(tmp_path / "shapes", tmp_path)
    cfg.test_dataloader = cfg.test_dataloader.copy()
    cfg.test_dataloader.dataset = {**cfg.val_dataloader.dataset, "data_prefix": dict(img="test/")}
    for split in ("val", "test"):
        images = [str(tmp_path / f"moved/{split}" / path.name) for path in sorted((tmp_path / "shapes/val").iterdir())]
        dataset = build_set_of(cfg, images)
        assert f"/shapes/{split}/" in dataset.get_data_info(0)["img_path"]
    with pytest.raises(InputError, match="of 3 images, which are those of neither the test split nor val"):
        build_set_of(cfg, images[:3])
