"""Converting checkpoint files: whole models, strictly loaded; nothing half-written."""

from __future__ import annotations

import hashlib
import os
import pickle
import re

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from references.small import randomise
from references.tiny import ADAMIXER, LORS, NARROW, overrides, tiny_config
from torch import nn

from lors_det.checkpoints.around_decoder import BACKBONES
from lors_det.checkpoints.contents import model_config
from lors_det.checkpoints.convert import _without_training, convert_file, publish_file
from lors_det.checkpoints.folding import factorise_file, fold_file
from lors_det.checkpoints.published_names import to_published
from lors_det.cli import convert, run_command
from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.inference import Detector
from lors_det.plugin.config.reading import load_config, read_config
from lors_det.plugin.saving.not_in_weights import PUBLISHED
from lors_det.plugin.saving.stored_config import parse_config

META = {"dataset_meta": {"classes": ("a", "b")}}


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
    assert ours["meta"] == META | {"not_in_weights": PUBLISHED}
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


@pytest.mark.parametrize("exact", [False, True])
def test_a_dense_model_is_factorised(data, tmp_path, exact):
    """Into a checkpoint that its config loads strictly; at full rank, with the same detections."""
    dense = model_of(tiny_config(data, tmp_path, ADAMIXER))
    torch.save({"meta": META, "state_dict": dense.state_dict()}, tmp_path / "dense.pth")
    decoder = "model.bbox_head.decoder."
    full = {f"{decoder}adaptive_rank": 24, f"{decoder}adaptive_groups": (1,) * 4, f"{decoder}static_rank": 48}
    cfg = tiny_config(data, tmp_path, LORS, **(full if exact else {}))
    cfg.dump(tmp_path / "lors.py")
    said = factorise_file(tmp_path / "dense.pth", tmp_path / "lors.pth", tmp_path / "lors.py")
    assert re.search(r"factorised 622,584 decoder parameters into .* off by \d+\.\d% of their norm", said), said
    assert said.endswith("off by 0.0% of their norm") == exact
    made = torch.load(tmp_path / "lors.pth", weights_only=True)
    assert made["meta"]["dataset_meta"] == META["dataset_meta"]
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(made["state_dict"])
    if exact:
        torch.testing.assert_close(detections(model), detections(dense), rtol=0, atol=5e-4)  # pixels


def test_what_cannot_be_factorised_is_named(data, tmp_path):
    for name, config in (("dense", ADAMIXER), ("lors", LORS)):
        cfg = tiny_config(data, tmp_path, config)
        cfg.dump(tmp_path / f"{name}.py")
        torch.save({"state_dict": model_of(cfg).state_dict()}, tmp_path / f"{name}.pth")
    for source, config, words in (("dense", "dense", "shares nothing"), ("lors", "lors", "stages of their own")):
        with pytest.raises(InputError, match=words):
            factorise_file(tmp_path / f"{source}.pth", tmp_path / "out.pth", tmp_path / f"{config}.py")
    assert not (tmp_path / "out.pth").exists()


def test_a_refused_file_leaves_nothing(tmp_path):
    torch.save({"state_dict": {"backbone.conv1.weight": torch.rand(1)}}, tmp_path / "foreign.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "foreign.pth").read_bytes()[:100])
    torch.save({"state_dict": {"backbone.conv1.weight": "text"}}, tmp_path / "text.pth")
    files = {
        "foreign.pth": "not a published",
        "cut.pth": "cannot be read",
        "none.pth": "not exist",
        "text.pth": "which is no weight",
    }
    for name, message in files.items():
        with pytest.raises(InputError, match=message):
            convert_file(tmp_path / name, tmp_path / "out.pth")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.pth", "foreign.pth", "text.pth"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (tmp_path / "out.pth").write_text("old")
    with pytest.raises((AttributeError, pickle.PicklingError)):
        write_whole(tmp_path / "out.pth", lambda file: torch.save(lambda: None, file))  # a test's function: no pickle
    assert [path.name for path in tmp_path.iterdir()] == ["out.pth"]
    assert (tmp_path / "out.pth").read_text() == "old"


def test_written_files_are_for_all_who_may_read(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "without-suffix", lambda file: torch.save({"state_dict": {}}, file))
    finally:
        os.umask(before)
    assert (tmp_path / "without-suffix").stat().st_mode & 0o777 == 0o640
    with pytest.raises(InputError, match="is a folder"):
        write_whole(tmp_path, lambda file: None)
    with pytest.raises(InputError, match=r"gone/out\.pth cannot be written: folder .*/gone: No such file"):
        write_whole(tmp_path / "gone/out.pth", lambda file: None)


@pytest.fixture(scope="module")
def published(data, tmp_path_factory) -> dict[str, torch.Tensor]:
    return to_published(model_of(tiny_config(data, tmp_path_factory.mktemp("work"))).state_dict())


def refuse(weights, folder, message, *, back=False, **more):
    torch.save({"state_dict": weights, **more}, folder / "src.pth")
    with pytest.raises(InputError, match=message):
        convert_file(folder / "src.pth", folder / "dst.pth", back=back)
    assert [path.name for path in folder.iterdir()] == ["src.pth"]


def test_what_is_of_a_run_alone_is_not_handed_on(tmp_path):
    """Else a test of the new file would write into the run's folder."""
    cfg = Config(dict(model=dict(bbox_head=dict(decoder={})), work_dir="runs/1", load_from="a.pth", resume=True))
    content = {"meta": {"config_data": cfg.to_dict()}, "state_dict": {"a": torch.zeros(1)}}
    kept = {"model": {"bbox_head": {"decoder": {}}}}
    assert model_config(content, tmp_path / "a.pth", None).to_dict() == kept
    assert _without_training(content, tmp_path / "a.pth")["meta"]["config_data"] == kept


@pytest.mark.parametrize(
    "name", ["neck.gn_out.bias", "neck.lateral_convs.3.conv.weight", "rpn_head.init_content_features.weight"]
)
def test_what_lies_outside_the_decoder_must_be_whole(published, tmp_path, name):
    weight = published[name]
    refuse({key: value for key, value in published.items() if key != name}, tmp_path, "outside the decoder .* missing")
    refuse({**published, name: weight[..., None]}, tmp_path, "outside the decoder .* of another shape")
    refuse({**published, "neck.lateral_convs.9.conv.weight": weight}, tmp_path, "1 unexpected: neck.laterals.9.weight")


def test_a_known_backbone_must_be_whole(published, tmp_path):
    rest = {name: value for name, value in published.items() if not name.startswith("backbone.")}
    refuse(rest, tmp_path, r"outside the decoder .* missing: backbone\.conv1\.weight")
    r50 = {f"backbone.{name}": value for name, value in MODELS.build(BACKBONES["ResNet-50"]).state_dict().items()}
    torch.save({"state_dict": {**rest, **r50}}, tmp_path / "whole.pth")
    assert "ResNet-50: " in convert_file(tmp_path / "whole.pth", tmp_path / "dst.pth")
    for path in tmp_path.iterdir():
        path.unlink()
    name = "backbone.layer4.0.conv1.weight"
    refuse({**rest, **r50, name: r50[name][:1]}, tmp_path, f"1 of another shape: {name}")
    refuse({**rest, **r50, "backbone.evil.weight": r50[name]}, tmp_path, "1 unexpected: backbone.evil.weight")
    del r50[name]
    refuse({**rest, **r50}, tmp_path, f"1 missing: {name}")


@pytest.mark.parametrize(
    ("name", "config"),
    zip(BACKBONES, ("model_r50", "model_r101", "model_x101-32x4d-dcn", "model_swin-s")),
)
def test_known_backbones_are_those_of_the_configs(root, name, config):
    backbone = read_config(root / f"configs/_base_/{config}.py").model.backbone
    ours = MODELS.build({**backbone, "init_cfg": None}).state_dict()
    known = MODELS.build(BACKBONES[name]).state_dict()
    assert {key: tensor.shape for key, tensor in ours.items()} == {key: tensor.shape for key, tensor in known.items()}


def test_odd_files_are_refused_with_words(published, tmp_path):
    refuse({f"module.{name}": value for name, value in published.items()}, tmp_path, "begin with 'module.'")
    refuse({**published, 7: torch.rand(1)}, tmp_path, "holds 7, which is no weight")
    refuse({**published, "backbone.x": torch.tensor(1.0)}, tmp_path, "without a dimension")
    refuse({**published, "backbone.x": torch.rand(0)}, tmp_path, "holds 'backbone.x', which is no weight")
    refuse({**published, "roi_head.bbox_head.30000000.iof_tau": torch.rand(4)}, tmp_path, "do not make a whole")
    refuse({}, tmp_path, "no state_dict")
    ours = {"bbox_head.decoder.stack.bases.0.mixing.out.weight": torch.rand(2, 2)}
    refuse(ours, tmp_path, "has this project's names already")
    refuse({"backbone.x": torch.rand(1)}, tmp_path, "not a checkpoint of this project", back=True)


def test_class_names_may_be_missing_or_single(published, tmp_path):
    for meta, classes in ((None, None), ({"dataset_meta": None}, None), ({"CLASSES": "cell"}, ("cell",))):
        torch.save({"meta": meta, "state_dict": published}, tmp_path / "src.pth")
        convert_file(tmp_path / "src.pth", tmp_path / "dst.pth")
        found = torch.load(tmp_path / "dst.pth", weights_only=True)["meta"]
        assert found.get("dataset_meta") == ({"classes": classes} if classes else None)


def test_a_config_in_a_checkpoint_is_not_run(data, tmp_path):
    cfg = tiny_config(data, tmp_path)
    weights = model_of(cfg).state_dict()
    for line in (f"open({str(tmp_path / 'ran')!r}, 'w')", f"x = open({str(tmp_path / 'ran')!r}, 'w')", "import os"):
        torch.save({"meta": {"cfg": f"{line}\n{cfg.pretty_text}"}, "state_dict": weights}, tmp_path / "src.pth")
        with pytest.raises(InputError, match=r"config in checkpoint .*src\.pth, line 1, is more than data"):
            fold_file(tmp_path / "src.pth", tmp_path / "dst.pth")
    for text in ("model = (", 7):
        torch.save({"meta": {"cfg": text}, "state_dict": weights}, tmp_path / "src.pth")
        with pytest.raises(InputError, match="is no config"):
            fold_file(tmp_path / "src.pth", tmp_path / "dst.pth")
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py"] == ["src.pth"]


def test_a_config_read_as_data_is_the_config(data, tmp_path):
    cfg = tiny_config(data, tmp_path)
    assert parse_config(cfg.pretty_text, "text").to_dict() == Config.fromstring(cfg.pretty_text, ".py").to_dict()


def test_folding_overwrites_no_config(data, tmp_path):
    cfg = tiny_config(data, tmp_path)
    torch.save({"meta": {"cfg": cfg.pretty_text}, "state_dict": model_of(cfg).state_dict()}, tmp_path / "src.pth")
    (tmp_path / "mine.py").write_text("x = 1")
    with pytest.raises(InputError, match=r"mine\.py exists"):
        fold_file(tmp_path / "src.pth", tmp_path / "mine.pth")
    with pytest.raises(InputError, match=r"suffix \.py is the folded model's config's"):
        fold_file(tmp_path / "src.pth", tmp_path / "new.py")
    assert (tmp_path / "mine.py").read_text() == "x = 1"
    assert not (tmp_path / "mine.pth").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_folding_keeps_the_precision(data, tmp_path, dtype):
    cfg = load_config(LORS, {name: value for name, value in overrides(data).items() if name not in NARROW})
    weights = {name: value.to(dtype) for name, value in model_of(cfg).state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "src.pth")
    # with the repository's own config, whose number of classes only the weights tell
    fold_file(tmp_path / "src.pth", tmp_path / "dst.pth", LORS)
    folded = torch.load(tmp_path / "dst.pth", weights_only=True)["state_dict"]
    assert {value.dtype for value in folded.values()} == {dtype}


def test_folding_keeps_the_precision_of_what_is_most_precise(data, tmp_path):
    """Weights of a checkpoint need not have one type; what does not fit into theirs is not made infinite."""
    cfg = tiny_config(data, tmp_path)
    weights = model_of(cfg).state_dict()
    first = next(name for name in weights if name.startswith("bbox_head.decoder."))
    norm = next(name for name in weights if name.startswith("bbox_head.decoder.") and name.endswith("norm.weight"))
    weights |= {first: weights[first].half(), norm: weights[norm] * 1e6}
    torch.save({"meta": {"cfg": cfg.pretty_text}, "state_dict": weights}, tmp_path / "src.pth")
    fold_file(tmp_path / "src.pth", tmp_path / "dst.pth")
    folded = torch.load(tmp_path / "dst.pth", weights_only=True)["state_dict"]
    assert torch.equal(folded[norm], weights[norm])


@pytest.mark.parametrize(
    ("dtype", "words"), [(torch.float16, r"too large for torch\.float16"), (torch.int64, "in torch.int64")]
)
def test_folding_makes_no_weight_infinite_or_whole(data, tmp_path, dtype, words):
    cfg = tiny_config(data, tmp_path)
    weights = {name: torch.full_like(value, 200).to(dtype) for name, value in model_of(cfg).state_dict().items()}
    torch.save({"meta": {"cfg": cfg.pretty_text}, "state_dict": weights}, tmp_path / "src.pth")
    with pytest.raises(InputError, match=words):
        fold_file(tmp_path / "src.pth", tmp_path / "dst.pth")
    assert not (tmp_path / "dst.pth").exists()
    assert not (tmp_path / "dst.py").exists()


def test_a_diverged_model_is_not_factorised(data, tmp_path):
    tiny_config(data, tmp_path, LORS).dump(tmp_path / "lors.py")
    weights = model_of(tiny_config(data, tmp_path, ADAMIXER)).state_dict()
    name = next(name for name in weights if name.endswith("mixing.channel.weight"))
    weights[name][0, 0] = torch.nan
    torch.save({"state_dict": weights}, tmp_path / "dense.pth")
    with pytest.raises(InputError, match=rf"holds {name} with values that are not finite"):
        factorise_file(tmp_path / "dense.pth", tmp_path / "out.pth", tmp_path / "lors.py")


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ("x", "a str as meta"),
        ([1], "a list as meta"),
        ({"dataset_meta": "x"}, "a str as meta.dataset_meta"),
        ({"dataset_meta": {"classes": 5}}, "an? int as meta.dataset_meta.classes"),
        ({"CLASSES": 5}, "an? int as meta.CLASSES"),
        ({"config_data": {"model": "x"}}, "not of a model of this project"),
        ({"config_data": {"model": {"bbox_head": "x"}}}, "not of a model of this project"),
        ({"cfg": "model=dict(5)"}, "line 1, is no config"),
        ({"cfg": "model=dict(**5)"}, "line 1, is no config"),
        ({"cfg": "a={[]: 1}"}, "line 1, is no config"),
    ],
)
def test_meta_data_of_others_are_refused_with_words(published, tmp_path, meta, words):
    torch.save({"meta": meta, "state_dict": published}, tmp_path / "src.pth")
    with pytest.raises(InputError, match=words):
        fold_file(tmp_path / "src.pth", tmp_path / "dst.pth")


@pytest.mark.parametrize("weight", [torch.eye(2).to_sparse(), torch.rand(2, device="meta")], ids=["sparse", "meta"])
def test_tensors_that_are_not_dense_are_refused(published, tmp_path, weight):
    refuse({**published, "backbone.x": weight}, tmp_path, "holds 'backbone.x' with (sparse|no) values")


@pytest.mark.parametrize("name", ["/tmp/elsewhere", "../elsewhere", "a/b", 7])
def test_a_published_file_stays_in_its_folder(trained, tmp_path, name):
    content = torch.load(trained.checkpoint, weights_only=True)
    content["meta"]["experiment_name"] = name
    torch.save(content, tmp_path / "src.pth")
    with pytest.raises(InputError, match=r"names its run .*, which is no file's name"):
        publish_file(tmp_path / "src.pth", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["src.pth"]


def test_a_published_file_is_named_by_its_run_and_content_and_detects_the_same(trained, tmp_path):
    said = publish_file(trained.checkpoint, tmp_path)
    (path,) = tmp_path.iterdir()
    assert said.endswith(f"tensors, the config and the class names in {path}")
    run = torch.load(trained.checkpoint, weights_only=True)["meta"]["experiment_name"]
    assert path.name == f"{run}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    assert path.stat().st_size < trained.checkpoint.stat().st_size / 2, "the optimiser's state is not in it"
    own, published = (Detector.from_checkpoint(each, score_threshold=0) for each in (trained.checkpoint, path))
    assert np.array_equal(own(trained.images[0]).boxes, published(trained.images[0]).boxes)
    with pytest.raises(InputError, match="does not name its run and its config"):
        publish_file(path, tmp_path)
    with pytest.raises(InputError, match=r"cannot be a folder: .* is a file; name a folder"):
        publish_file(trained.checkpoint, path)
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_overwrites_nothing(tmp_path, capsys):
    """Not its source either; and a folder is no file."""
    (tmp_path / "a.pth").write_bytes(b"a checkpoint")
    for words, fault in (
        (["a.pth", "a.pth", "--fold"], "a.pth exists; name another file, or remove it"),
        (["a.pth", "a.pth"], "a.pth exists"),
        (["a.pth", "b.pth", "--publish"], "b.pth: --publish names the file itself; name its folder"),
    ):
        with pytest.raises(SystemExit):
            run_command(convert, [str(tmp_path / word) if word.endswith(".pth") else word for word in words])
        assert fault in capsys.readouterr().err
    assert (tmp_path / "a.pth").read_bytes() == b"a checkpoint"
    assert not (tmp_path / "b.pth").exists()
