"""A tiny model that was trained for a moment, and its data, for tests of inference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import cv2
from mmengine.config import Config
from mmengine.fileio import load
from references.tiny import make_data, runner_of, tiny_config

from lors_det.plugin.config.data import augment_test_time, evaluators_of


class Trained(NamedTuple):
    """What :func:`train_tiny` leaves.

    Attributes:
        checkpoint: of the last epoch.
        config: as the run left it in its work dir.
        annotations: of the validation images.
        images: the validation images, in the order of the annotations.
    """

    checkpoint: Path
    config: Path
    annotations: Path
    images: list[Path]


def train_tiny(folder: Path) -> Trained:
    """Two steps on the tiny set; some validation images are cut to other shapes, so that batches are padded."""
    data = make_data(folder / "shapes")
    annotations = data / "annotations/val.json"
    content = json.loads(annotations.read_text())
    for number, image in enumerate(content["images"]):
        path = data / "val" / image["file_name"]
        image["width"], image["height"] = ((64, 64), (64, 40), (50, 64))[number % 3]
        cv2.imwrite(str(path), cv2.imread(str(path))[: image["height"], : image["width"]])
    annotations.write_text(json.dumps(content))
    cfg = tiny_config(data, folder / "run", **{"train_cfg.max_epochs": 1, "randomness.seed": 0})
    runner_of(cfg).train()
    (config,) = (folder / "run").glob("*.py")
    images = [data / "val" / image["file_name"] for image in content["images"]]
    return Trained(folder / "run/epoch_1.pth", config, annotations, images)


def evaluated(
    trained: Trained, folder: Path, *, batch_size: int = 1, tta: bool = False, annotations: Path | None = None
) -> tuple[list[Any], dict[str, float]]:
    """What ``lors-det test`` predicts for each validation image, and its metrics; with other annotations, of those."""
    cfg = Config.fromfile(trained.config)
    cfg.load_from, cfg.work_dir = str(trained.checkpoint), str(folder)
    cfg.test_dataloader.batch_size = batch_size
    if annotations is not None:
        cfg.test_dataloader.dataset.ann_file = cfg.test_evaluator.ann_file = str(annotations)
    if tta:
        augment_test_time(cfg)
    dump = folder / f"{cfg.experiment_name}.pkl"
    cfg.test_evaluator = [*evaluators_of(cfg, "test"), dict(type="DumpDetResults", out_file_path=str(dump))]
    metrics = runner_of(cfg).test()
    return [each["pred_instances"] for each in load(dump)], metrics
