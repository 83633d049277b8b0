"""What served a training alone is left out where a model has none of it."""

from __future__ import annotations

import pytest
import torch
from references.tiny import ADAMIXER, runner_of, tiny_config
from safetensors.torch import load_file

from lors_det.checkpoints.convert import convert_file
from lors_det.checkpoints.folding import fold_file
from lors_det.errors import InputError
from lors_det.inference import Detector
from lors_det.plugin.saving.training_parts import drop_training_parts

TABLE = "bbox_head.denoising.content"


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    options = {"model.bbox_head.denoising": dict(num_groups=2), "train_cfg.max_epochs": 1}
    runner_of(tiny_config(data, folder, **options)).train()
    return folder / "epoch_1.pth"


def test_a_config_without_it_evaluates_the_checkpoint_and_fine_tunes_it(data, checkpoint, tmp_path):
    assert TABLE in torch.load(checkpoint, weights_only=True)["state_dict"]
    metrics = runner_of(tiny_config(data, tmp_path / "test", load_from=str(checkpoint))).test()
    assert "coco/bbox_mAP" in metrics
    options = {"load_from": str(checkpoint), "train_cfg.max_epochs": 1}
    runner_of(tiny_config(data, tmp_path / "fine", **options)).train()
    log = next((tmp_path / "fine").rglob("*.log")).read_text()
    assert "denoising" not in log.split("weights loaded")[1].splitlines()[0]


def test_such_a_config_detects_with_it(data, checkpoint, tmp_path):
    Detector.from_checkpoint(checkpoint, config=tiny_config(data, tmp_path))


def test_a_weights_file_for_detection_lacks_it(data, checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    content["meta"]["config_data"] = tiny_config(data, tmp_path).to_dict()
    torch.save(content, tmp_path / "plain.pth")
    convert_file(tmp_path / "plain.pth", tmp_path / "plain.safetensors")
    assert TABLE not in load_file(tmp_path / "plain.safetensors")
    Detector.from_checkpoint(tmp_path / "plain.safetensors")


def test_another_model_is_refused_all_the_same(data, checkpoint, tmp_path):
    with pytest.raises(InputError, match="another model"):
        runner_of(tiny_config(data, tmp_path, config=ADAMIXER, load_from=str(checkpoint))).test()


def test_conversions(checkpoint, tmp_path):
    fold_file(checkpoint, tmp_path / "dense.pth")  # its config has them
    assert TABLE in torch.load(tmp_path / "dense.pth", weights_only=True)["state_dict"]
    Detector.from_checkpoint(tmp_path / "dense.pth")
    convert_file(checkpoint, tmp_path / "ours.safetensors")
    Detector.from_checkpoint(tmp_path / "ours.safetensors")


def test_of_wrapped_models_too():
    weights = {TABLE: torch.ones(1), f"module.{TABLE}": torch.ones(1), "bbox_head.queries.content": torch.ones(1)}
    kept = dict(weights)
    drop_training_parts(kept, {TABLE})
    assert kept == weights
    drop_training_parts(kept)
    assert list(kept) == ["bbox_head.queries.content"]
