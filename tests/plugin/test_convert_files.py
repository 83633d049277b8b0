"""Converting checkpoint files: whole models, strictly loaded; nothing half-written."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from references.small import randomise
from references.tiny import ADAMIXER, LORS, make_data, tiny_config
from torch import nn

from lors_det.adamixer.convert import to_published
from lors_det.errors import InputError
from lors_det.plugin.convert import convert_file, fold_file, save_whole

META = {"dataset_meta": {"classes": ("a", "b")}}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("data") / "shapes")


def model_of(cfg: Config) -> nn.Module:
    return randomise(MODELS.build(cfg.model), std=0.02).eval()


def detections(model: nn.Module) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        last = model(torch.randn(2, 3, 64, 64))[-1]
    return torch.cat([last.logits, last.boxes_xyxy], dim=-1)


@pytest.mark.parametrize("config", [LORS, ADAMIXER], ids=["lors", "adamixer"])
def test_a_published_file_loads_strictly_and_goes_back(data, tmp_path, config):
    model = model_of(tiny_config(data, tmp_path, config))
    table = torch.rand(len(model.bbox_head.queries.content), 4)
    published = {"meta": {"CLASSES": ("a", "b")}, "state_dict": to_published(model.state_dict(), table)}
    torch.save(published, tmp_path / "published.pth")
    message = convert_file(tmp_path / "published.pth", tmp_path / "ours.pth")
    assert message.startswith("lors" if config == LORS else "adamixer")
    ours = torch.load(tmp_path / "ours.pth", weights_only=True)
    assert ours["meta"] == META
    other = model_of(tiny_config(data, tmp_path, config))
    other.load_state_dict(ours["state_dict"])
    assert torch.equal(detections(other), detections(model))
    convert_file(tmp_path / "ours.pth", tmp_path / "back.pth", back=True)
    back = torch.load(tmp_path / "back.pth", weights_only=True)["state_dict"]
    assert back.keys() == published["state_dict"].keys()
    assert all(torch.equal(back[name], value) for name, value in published["state_dict"].items())


@pytest.mark.parametrize("carried", [True, False], ids=["config-in-checkpoint", "config-named"])
def test_folding_keeps_the_detections(data, tmp_path, carried):
    cfg = tiny_config(data, tmp_path)
    model = model_of(cfg)
    meta = {"cfg": cfg.pretty_text} if carried else {}
    torch.save({"meta": meta, "state_dict": model.state_dict()}, tmp_path / "lors.pth")
    cfg.dump(tmp_path / "lors.py")
    fold_file(tmp_path / "lors.pth", tmp_path / "dense.pth", None if carried else tmp_path / "lors.py")
    dense = MODELS.build(Config.fromfile(tmp_path / "dense.py").model).eval()
    dense.load_state_dict(torch.load(tmp_path / "dense.pth", weights_only=True)["state_dict"])
    assert not any(entry.shared for entry in dense.bbox_head.decoder.ledger())
    torch.testing.assert_close(detections(dense), detections(model), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_folded_is_named(data, tmp_path):
    cfg = tiny_config(data, tmp_path, ADAMIXER)
    torch.save({"meta": {"cfg": cfg.pretty_text}, "state_dict": model_of(cfg).state_dict()}, tmp_path / "plain.pth")
    with pytest.raises(InputError, match="nothing to fold"):
        fold_file(tmp_path / "plain.pth", tmp_path / "dense.pth")
    torch.save({"state_dict": model_of(cfg).state_dict()}, tmp_path / "bare.pth")
    with pytest.raises(InputError, match="carries no config"):
        fold_file(tmp_path / "bare.pth", tmp_path / "dense.pth")
    tiny_config(data, tmp_path, LORS).dump(tmp_path / "lors.py")
    with pytest.raises(InputError, match="of another model than the config"):
        fold_file(tmp_path / "bare.pth", tmp_path / "dense.pth", tmp_path / "lors.py")
    assert not (tmp_path / "dense.pth").exists()


def test_a_refused_file_leaves_nothing(tmp_path):
    torch.save({"state_dict": {"backbone.conv1.weight": torch.rand(1)}}, tmp_path / "foreign.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "foreign.pth").read_bytes()[:100])
    torch.save({"state_dict": {"backbone.conv1.weight": "text"}}, tmp_path / "text.pth")
    files = {
        "foreign.pth": "not a published",
        "cut.pth": "cannot be read",
        "none.pth": "not exist",
        "text.pth": "no state_dict of tensors",
    }
    for name, message in files.items():
        with pytest.raises(InputError, match=message):
            convert_file(tmp_path / name, tmp_path / "out.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.pth", "foreign.pth", "text.pth"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "out.pth").write_text("old")
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_whole({"state_dict": lambda: None}, tmp_path / "out.pth")  # functions of a test cannot be pickled
    assert [path.name for path in tmp_path.iterdir()] == ["out.pth"]
    assert (tmp_path / "out.pth").read_text() == "old"
