"""Trackers get the config and the scalars, under names that sort, and no secrets."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from mmengine.config import Config
from references.tiny import make_data, tiny_config

from lors_det.errors import InputError
from lors_det.plugin.config.tracker_secrets import refuse_secrets
from lors_det.plugin.screen import trackers
from lors_det.plugin.screen.trackers import MLflowTracker, TensorboardTracker, WandbTracker, tracked_names

TRAINING = {
    "lr": 1e-3,
    "loss": 12.5,
    "s0.loss_cls": 2.0,
    "s3.loss_cls": 1.0,
    "selection.loss_cls": 3.0,
    "time": 0.4,
    "epoch": 2,
    "iter": 20,
}
VALIDATION = {"coco/bbox_mAP": 0.25, "coco/wine glass (red)_precision": 0.5, "time": 0.1, "words": "none"}


@pytest.fixture(scope="module")
def cfg(tmp_path_factory) -> Config:
    """A whole config, with tuples and None."""
    folder = tmp_path_factory.mktemp("data")
    return tiny_config(make_data(folder / "shapes"), folder / "run")


def test_names_tell_training_from_validation():
    train, val = tracked_names(TRAINING, 20), tracked_names(VALIDATION, 2)
    assert train["train/s3/loss_cls"] == 1.0
    assert train["train/selection/loss_cls"] == 3.0
    assert train["iter"] == 20
    assert val["val/bbox_mAP"] == 0.25
    assert val["epoch"] == 2
    assert set(train) & set(val) == {"epoch"}, "time of a step and of an image would share a curve"
    assert "none" not in val.values()


def test_tensorboard(cfg, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tracker = TensorboardTracker(str(tmp_path))
    tracker.add_config(cfg)
    tracker.add_scalars(TRAINING, 20)
    tracker.add_scalars(VALIDATION, 2)
    tracker.close()
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(20, 12.5)]
    assert [(event.step, event.value) for event in events.Scalars("val/bbox_mAP")] == [(2, 0.25)]
    (text,) = events.Tensors("config/text_summary")
    lines = text.tensor_proto.string_val[0].decode().splitlines()
    assert all(line.startswith("    ") for line in lines), "markdown shows a line that is indented as it is"
    assert "default_hooks" in "".join(lines)


def test_mlflow(cfg, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run/20260101_000000/vis_data"
    tracker = MLflowTracker(str(folder))
    tracker.add_config(cfg)
    run_id = mlflow.active_run().info.run_id
    tracker.add_scalars(TRAINING, 20)
    tracker.add_scalars(VALIDATION, 2)
    tracker.close()
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    assert run.info.run_name == "run/20260101_000000"
    assert run.data.params["train_cfg.max_epochs"] == "3"
    assert run.data.metrics["val/wine glass _red__precision"] == 0.5
    assert [metric.step for metric in client.get_metric_history(run_id, "train/loss")] == [20]
    assert [item.path for item in client.list_artifacts(run_id)] == ["config.py"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "nothing is left where it was started"


def test_wandb_offline(cfg, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = WandbTracker(str(tmp_path), dict(project="shapes"))
    tracker.add_config(cfg)
    tracker.add_scalars(TRAINING, 20)
    tracker.add_scalars(VALIDATION, 2)
    run = wandb.run
    assert run.config["train_cfg"]["max_epochs"] == 3
    assert run.summary["train/loss"] == 12.5
    assert run.summary["val/bbox_mAP"] == 0.25
    tracker.close()
    assert wandb.run is None
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.parametrize(("name", "is_sent"), [(None, False), ("mine", True)])
def test_code_is_sent_to_wandb_only_when_asked_for(cfg, tmp_path, monkeypatch, name, is_sent):
    wandb = MagicMock()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setattr(trackers, "find_spec", lambda package: SimpleNamespace())
    WandbTracker(str(tmp_path), log_code_name=name).add_config(cfg)
    assert wandb.init.called
    assert wandb.run.log_code.called == is_sent


@pytest.mark.parametrize(
    ("kind", "package"), [(TensorboardTracker, "tensorboard"), (WandbTracker, "wandb"), (MLflowTracker, "mlflow")]
)
def test_a_package_that_lacks_is_named(tmp_path, monkeypatch, kind, package):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"pip install {package}"):
        kind(str(tmp_path))


@pytest.mark.parametrize(
    "backend",
    [
        dict(type="MLflowTracker", tracking_uri="https://me:hunter2@host/path"),
        dict(type="WandbTracker", init_kwargs=dict(settings=dict(api_key="hunter2"))),
    ],
)
def test_secrets_in_a_config_are_refused_and_not_repeated(backend):
    cfg = Config(dict(visualizer=dict(vis_backends=[dict(type="LocalVisBackend"), backend])))
    with pytest.raises(InputError, match=re.escape("visualizer.vis_backends.1")) as caught:
        refuse_secrets(cfg)
    assert "hunter2" not in str(caught.value)


def test_configs_without_secrets_pass(cfg):
    refuse_secrets(cfg)
    uri = dict(type="MLflowTracker", tracking_uri="https://host:5000/path", exp_name="a")
    refuse_secrets(Config(dict(visualizer=dict(vis_backends=[uri]))))


def test_a_base_names_each_tracker(root):
    found = Config.fromfile(Path(root, "configs/_base_/trackers.py"))
    assert [backends[1]["type"] for backends in (found.tensorboard, found.wandb, found.mlflow)] == [
        "TensorboardTracker",
        "WandbTracker",
        "MLflowTracker",
    ]
    assert all(backends[0]["type"] == "LocalVisBackend" for backends in (found.tensorboard, found.wandb, found.mlflow))
