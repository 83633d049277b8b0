"""A checkpoint is enough, and a stranger's runs nothing."""

from __future__ import annotations

import copy
import json
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from references.first_version import FILE

from lors_det.adamixer import DecoderSpec
from lors_det.adamixer.first_version import current_name
from lors_det.errors import InputError
from lors_det.inference import Detector

DECODER = "bbox_head.decoder."


@pytest.fixture(scope="module")
def content(trained) -> dict[str, Any]:
    return torch.load(trained.checkpoint, weights_only=True)


def saved(content: dict[str, Any], path: Path, **changes: Any) -> Path:
    """The checkpoint as a file, with other values of the stored config, by key with dots."""
    content = copy.deepcopy(content)
    cfg = Config(content["meta"]["config_data"])
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    content["meta"]["config_data"] = cfg.to_dict()
    torch.save(content, path)
    return path


def test_no_other_file_and_no_network_is_needed(content, detector, trained, tmp_path, monkeypatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    alone = saved(
        content,
        tmp_path / "alone.pth",
        model__backbone__init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet18"),
        test_dataloader__dataset__data_root="/nowhere/",
        train_dataloader__dataset__data_root="/nowhere/",
        load_from="/nowhere/other.pth",
    )
    own = Detector.from_checkpoint(alone, score_threshold=0)
    assert np.array_equal(own(trained.images[0]).boxes, detector(trained.images[0]).boxes)


def test_checkpoints_of_version_0_1_0_load(content, detector, trained, tmp_path):
    """With that version's names, and its config as text."""
    old = copy.deepcopy(content)
    cfg = Config(old["meta"].pop("config_data"))
    spec = DecoderSpec(**cfg.model.bbox_head.decoder)
    cfg.model.bbox_head.decoder.cache_folds = True
    old["meta"]["cfg"] = cfg.pretty_text
    written = json.loads(FILE.read_text())["models"]["lors"]["state"]
    names = {
        DECODER + current_name(name.removeprefix(DECODER), spec) if name.startswith(DECODER) else name: name
        for name in written
    }
    assert sum(name != other for name, other in names.items()) > 10
    old["state_dict"] = {names[name]: weight for name, weight in old["state_dict"].items()}
    path = tmp_path / "old.pth"
    torch.save(old, path)
    own = Detector.from_checkpoint(path, score_threshold=0)
    assert np.array_equal(own(trained.images[0]).boxes, detector(trained.images[0]).boxes)


def without_config(content: dict[str, Any]) -> None:
    del content["meta"]["config_data"]


def without_a_weight(content: dict[str, Any]) -> None:
    content["state_dict"].popitem()


def with_another_weight(content: dict[str, Any]) -> None:
    content["state_dict"]["more"] = torch.ones(1)


def diverged(content: dict[str, Any]) -> None:
    next(iter(content["state_dict"].values())).view(-1)[0] = float("nan")


def with_no_weight(content: dict[str, Any]) -> None:
    content["state_dict"]["word"] = "x"


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (without_config, "carries no config; pass the model's: config="),
        (without_a_weight, "another model than its config .1 missing"),
        (with_another_weight, "1 unexpected: more"),
        (diverged, "is not finite"),
        (with_no_weight, "'word', which is no weight"),
    ],
)
def test_what_does_not_fit_is_refused(content, tmp_path, break_it, words):
    content = copy.deepcopy(content)
    break_it(content)
    path = tmp_path / "broken.pth"
    torch.save(content, path)
    with pytest.raises(InputError, match=words):
        Detector.from_checkpoint(path)


def test_classes_that_the_checkpoint_does_not_tell_are_asked_for(content, trained, tmp_path):
    content = copy.deepcopy(content)
    names = content["meta"].pop("dataset_meta")["classes"]
    path = saved(content, tmp_path / "nameless.pth", test_dataloader__dataset__metainfo={"_delete_": True})
    with pytest.raises(InputError, match="does not tell its classes"):
        Detector.from_checkpoint(path)
    with pytest.raises(InputError, match="has 6 classes, and 2 names came"):
        Detector.from_checkpoint(path, names=["a", "b"])
    assert Detector.from_checkpoint(path, names=names).classes == tuple(names)


def test_weights_alone_take_a_config(content, detector, trained, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(content["state_dict"], path)
    own = Detector.from_checkpoint(path, config=trained.config, score_threshold=0)
    assert np.array_equal(own(trained.images[0]).boxes, detector(trained.images[0]).boxes)


EVIL = "__import__('pathlib').Path('{}').touch()"


@pytest.mark.parametrize(
    "changes",
    [
        {"model__backbone": {"_delete_": True, "type": "os.makedirs", "name": "{}"}},
        {"model__backbone__norm_cfg__type": "os.makedirs"},
        {"model___scope_": "evil"},
        {"model__backbone__type": "evil.ResNet"},
        {"default_scope": "evil"},
        {"test_dataloader__dataset__pipeline": [{"type": "os.makedirs", "name": "{}"}]},
        {"tta_pipeline": [{"type": "LoadImageFromFile"}, {"type": "os.makedirs", "name": "{}"}]},
        {"tta_model": {"type": "DetTTAModel", "tta_cfg": {"nms": {"type": EVIL}, "max_per_img": 9}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_strangers_config_runs_nothing(content, trained, tmp_path, monkeypatch, changes):
    mark, package = tmp_path / "ran", tmp_path / "path/evil"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"open({str(mark)!r}, 'w')")
    (package / "registry.py").write_text("")
    monkeypatch.syspath_prepend(package.parent)
    changes = json.loads(json.dumps(changes).replace("{}", str(mark)))
    path = saved(content, tmp_path / "evil.pth", **changes)
    with pytest.raises(InputError, match="trust"):
        Detector.from_checkpoint(path, tta=True)(trained.images[0])
    assert not mark.exists()
    assert "evil" not in sys.modules


def test_what_is_trusted_is_imported(content, detector, trained, tmp_path, monkeypatch):
    (tmp_path / "own_resize.py").write_text(
        "from mmcv.transforms import Resize\nfrom mmdet.registry import TRANSFORMS\n"
        "@TRANSFORMS.register_module()\nclass OwnResize(Resize):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    pipeline = copy.deepcopy(content["meta"]["config_data"]["test_dataloader"]["dataset"]["pipeline"])
    assert pipeline[1]["type"] == "Resize"
    pipeline[1]["type"] = "OwnResize"
    path = saved(
        content,
        tmp_path / "own.pth",
        test_dataloader__dataset__pipeline=pipeline,
        custom_imports=dict(imports=["own_resize"], allow_failed_imports=False),
    )
    with pytest.raises(InputError, match=r"pipeline\.1\.type is 'OwnResize', which .* trust=True"):
        Detector.from_checkpoint(path)
    own = Detector.from_checkpoint(path, trust=True, score_threshold=0)
    assert np.allclose(own(trained.images[0]).boxes, detector(trained.images[0]).boxes, atol=2)
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
