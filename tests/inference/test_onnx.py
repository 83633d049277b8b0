"""An exported file finds what the model finds, and says what a program needs to use it."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS

from lors_det.adamixer import InitialQueries
from lors_det.adamixer.selection import QuerySelection
from lors_det.cli import export as export_command
from lors_det.cli import run_command
from lors_det.errors import InputError
from lors_det.inference import Detections, Detector
from lors_det.inference.onnx import export as export_module
from lors_det.inference.onnx.export import Exported, export
from lors_det.inference.onnx.facts import KEY, Facts
from lors_det.inference.onnx.graph import DetectionGraph
from lors_det.inference.onnx.parity import Parity, _parity
from lors_det.inference.onnx.runtime import open_session
from lors_det.inference.stored_model import load_stored_model

onnx = pytest.importorskip("onnx", reason="needs lors_det[onnx]")
pytest.importorskip("onnxscript", reason="needs lors_det[onnx]")
pytest.importorskip("onnxruntime", reason="needs lors_det[onnx]")

ROOT = Path(__file__).parent.parent.parent
ROUNDING = 1e-5
"""Of scores; boxes of these images move by less than a thousand times as many pixels."""


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory) -> Exported:
    """The tiny model, of 128 x 128 pixels, written in a folder of this machine."""
    return export(load_stored_model(trained.checkpoint), tmp_path_factory.mktemp("onnx") / "tiny.onnx")


@pytest.fixture(scope="module")
def square(trained) -> list[Path]:
    """Images that the test pipeline makes as large as the file's input, some of them after padding."""
    return [path for path in trained.images if cv2.imread(str(path)).shape[0] == 64]


def assert_near(found: Detections, expected: Detections) -> None:
    np.testing.assert_allclose(found.scores, expected.scores, atol=ROUNDING, rtol=0)
    gaps = np.abs(np.diff(expected.scores, prepend=np.inf, append=expected.scores[-1]))
    certain = np.minimum(gaps[:-1], gaps[1:]) > 2 * ROUNDING  # of the others, which comes first is rounding
    assert certain.sum() > len(certain) / 2
    np.testing.assert_allclose(found.boxes[certain], expected.boxes[certain], atol=1e3 * ROUNDING, rtol=0)
    assert np.array_equal(found.labels[certain], expected.labels[certain])


def test_it_was_compared_with_torch(exported):
    assert exported.parity.holds
    assert exported.parity.scores < ROUNDING
    assert exported.parity.num_compared > 20
    assert exported.input_size == exported.facts.fit == (128, 128)
    assert exported.path.stat().st_size == exported.num_bytes


SWIN = dict(
    type="mmdet.SwinTransformer", embed_dims=8, depths=(2, 1, 1, 1), num_heads=(1, 2, 4, 8), window_size=4,
    out_indices=(0, 1, 2, 3), convert_weights=False,
)  # fmt: skip
CONVNEXT = dict(type="TimmBackbone", model_name="convnext_atto", pretrained=False)


@pytest.mark.parametrize("backbone", [SWIN, CONVNEXT], ids=lambda backbone: backbone["type"])
def test_other_backbones_find_the_same_for_any_number_of_images(trained, square, tmp_path, backbone):
    stored = load_stored_model(trained.checkpoint)
    torch.manual_seed(0)
    stored.model.backbone = MODELS.build(backbone)
    stored.model.eval()
    channels = [level.shape[1] for level in stored.model.backbone(torch.zeros(1, 3, 64, 64))]
    stored.model.neck = MODELS.build({**stored.cfg.model.neck, "in_channels": channels})
    stored.model.eval()
    exported = export(stored, tmp_path / "model.onnx")
    assert exported.parity.holds
    assert exported.parity.num_compared > 20
    session = open_session(str(exported.path), "cpu")
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    sizes = np.array([[128, 128], [128, 100], [70, 128]])
    together = session.run(None, {"images": images, "sizes": sizes})
    for number in range(3):
        alone = session.run(None, {"images": images[[number]], "sizes": sizes[[number]]})
        np.testing.assert_allclose(together[1][number], alone[1][0], atol=ROUNDING, rtol=0)


def test_queries_start_where_the_images_want_them(trained, tmp_path):
    """Selected from the features: images of several sizes and paddings in one batch are as each by itself in torch."""
    stored = load_stored_model(trained.checkpoint)
    head = stored.model.bbox_head
    spec = head.decoder.spec
    torch.manual_seed(0)
    head.queries = InitialQueries(len(head.queries.content), spec.dim, start="selected")
    head.selection = QuerySelection(head.num_classes, spec.dim, spec.strides)
    torch.nn.init.normal_(head.selection.regress[-1].weight, std=0.1)
    stored.model.eval()
    exported = export(stored, tmp_path / "model.onnx")
    assert exported.parity.holds
    assert exported.parity.num_compared > 20
    images = torch.randint(256, (3, 128, 128, 3), dtype=torch.uint8)
    sizes = torch.tensor([[128, 128], [128, 40], [24, 24]])  # the last has fewer cells than there are queries
    found = open_session(str(exported.path), "cpu").run(None, {"images": images.numpy(), "sizes": sizes.numpy()})
    with torch.no_grad():
        for number in range(3):
            expected = DetectionGraph(stored.model)(images[[number]], sizes[[number]])
            np.testing.assert_allclose(found[1][number], expected[1][0], atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_its_detections_are_those_of_the_checkpoint(exported, square, detector, batch_size):
    own = Detector.from_checkpoint(exported.path, score_threshold=0)
    assert own.classes == detector.classes
    found = own(square, batch_size=batch_size)
    assert {each.image_size for each in found} == {(64, 64), (50, 64)}
    for each, expected in zip(found, detector(square), strict=True):
        assert_near(each, expected)


def test_what_is_beside_an_image_is_not_read(exported):
    session = open_session(str(exported.path), "cpu")
    images = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    sizes = np.array([(128, 90), (70, 128)])
    found = session.run(None, {"images": images, "sizes": sizes})
    images[0, 90:], images[1, :, 70:] = 255, 0
    for before, after in zip(found, session.run(None, {"images": images, "sizes": sizes})):
        assert np.array_equal(before, after)
    images[0, 89] = 255 - images[0, 89]
    assert not np.array_equal(found[1], session.run(None, {"images": images, "sizes": sizes})[1])


def test_the_program_of_the_documentation_finds_the_same(exported, square, detector, tmp_path, monkeypatch):
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(), re.DOTALL)
    program, number = re.subn(r"score >= 0\.3", "True", program)
    assert number == 1
    cv2.imwrite(str(tmp_path / "image.jpg"), cv2.imread(str(square[0])))
    (tmp_path / "model.onnx").write_bytes(exported.path.read_bytes())
    monkeypatch.chdir(tmp_path)
    values: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(program, values)
    expected = detector(tmp_path / "image.jpg")
    lines = printed.getvalue().splitlines()
    assert len(lines) == len(expected)
    found = replace(
        expected, boxes=values["boxes"][0] / values["factor"], scores=values["scores"][0], labels=values["labels"][0]
    )
    assert_near(found, expected)
    assert lines[0].split()[:2] == [expected.names[0], f"{expected.scores[0]:.2f}"]


def test_the_file_says_what_it_is_and_nothing_of_this_machine(exported):
    content = onnx.load(exported.path)
    onnx.checker.check_model(content)
    assert content.producer_name == "lors_det"
    assert json.loads({each.key: each.value for each in content.metadata_props}[KEY]) == {
        "classes": ["disc", "square", "triangle", "star", "cross", "ring"],
        "fit": [128, 128],
        "version": exported.facts.version,
    }
    assert str(ROOT).encode() not in exported.path.read_bytes()


def test_the_command_says_what_it_wrote(trained, exported, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(export_module, "_content", lambda graph, facts, width, height: exported.path.read_bytes())
    path = tmp_path / "model.onnx"
    run_command(export_command, [str(trained.checkpoint), str(path), "--size", "128", "101"])
    said = capsys.readouterr().out
    assert f"{path}: " in said
    assert "any number of images of 128 x 128 pixels, 6 classes" in said, "sides are rounded up to multiples of 32"
    assert "differ in scores by" in said
    with pytest.raises(SystemExit):
        run_command(export_command, [str(trained.checkpoint), str(path), "--size", "0", "64"])
    assert "--size 0 64: both must be at least 1" in capsys.readouterr().err


def test_a_file_that_finds_something_else_is_not_written(trained, exported, tmp_path, monkeypatch):
    stored = load_stored_model(trained.checkpoint)
    spoilt = onnx.load(exported.path)
    for weights in spoilt.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT and len(weights.dims) == 4:  # convolutions
            values = np.frombuffer(weights.raw_data, np.float32)
            weights.raw_data = np.where(np.arange(len(values)) % 2, values, values * 1.1).astype(np.float32).tobytes()
    monkeypatch.setattr(export_module, "_content", lambda *_: spoilt.SerializeToString())
    with pytest.raises(InputError, match="onnxruntime finds something else than torch, scores by"):
        export(stored, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_whose_scores_are_all_alike_is_not_blamed_on_the_runtime(trained, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "_content", lambda *_: exported.path.read_bytes())
    monkeypatch.setattr(export_module, "compare", lambda *_: Parity(0.0, 0.0, 128, True, 0))
    with pytest.raises(InputError, match=r"gives all detections one score, .* Is it trained\?"):
        export(load_stored_model(trained.checkpoint), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_parity_looks_at_ranks_that_are_certain():
    boxes, labels = np.zeros((1, 5, 4), np.float32), np.arange(5)[None]
    scores = np.array([[0.9, 0.5, 0.5, 0.2, 0.1]])
    same = _parity([((boxes, scores, labels), (boxes, scores, labels))], 100)
    assert same == Parity(0, 0, 100, True, 2)
    assert same.holds
    other = boxes.copy()
    other[0, 1] = 50  # one of two with the same score: they may have changed places
    assert _parity([((boxes, scores, labels), (other, scores, labels))], 100).holds
    other[0, 0] = 0.2
    assert not _parity([((boxes, scores, labels), (other, scores, labels))], 100).holds
    other = boxes.copy()
    other[0, 4] = 50  # the last, in whose place may be one that is left out
    assert _parity([((boxes, scores, labels), (other, scores, labels))], 100).holds
    swapped = labels[:, [3, 1, 2, 0, 4]]
    assert not _parity([((boxes, scores, labels), (boxes, scores, swapped))], 100).holds
    assert not _parity([((boxes, scores, labels), (boxes, scores + 0.01, labels))], 100).holds
    assert not _parity([((boxes, scores, labels), (boxes * np.nan, scores, labels))], 100).holds
    assert not _parity([((boxes, scores, labels), (boxes, scores * np.nan, labels))], 100).holds


@pytest.mark.parametrize(
    ("step", "values", "fault"),
    [
        (1, dict(keep_ratio=False), "Resize has keep_ratio=False"),
        (1, dict(interpolation="nearest"), "Resize has interpolation='nearest'"),
        (0, dict(color_type="grayscale"), "LoadImageFromFile has color_type='grayscale'"),
        (1, dict(type="Pad", size=(64, 64)), r"LoadImageFromFile, Pad, PackDetInputs; an exported file"),
        (1, dict(scale=0.5), r"Resize has scale=0\.5; it must be width and height"),
        (1, dict(scale=None), "leaves its scale open; name it: --size WIDTH HEIGHT"),
    ],
)
def test_a_pipeline_that_the_file_would_not_repeat_is_refused(trained, tmp_path, monkeypatch, step, values, fault):
    """With --size too: parity is of the graph alone, and would hold."""
    stored = load_stored_model(trained.checkpoint)
    monkeypatch.setattr(export_module, "_content", None)
    steps = [each for each in stored.cfg.test_dataloader.dataset.pipeline if each.type != "LoadAnnotations"]
    steps[step] = type(steps[step])({**steps[step], **values})
    stored.cfg.test_dataloader.dataset.pipeline = steps
    with pytest.raises(InputError, match=fault):
        export(stored, tmp_path / "model.onnx", fit=None if values == dict(scale=None) else (64, 64))
    assert not any(tmp_path.iterdir())


def test_a_copy_opens_the_file_anew(exported, square):
    detector = Detector.from_checkpoint(exported.path, score_threshold=0)
    (expected,) = detector([square[0]])
    for other in (copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        (found,) = other([square[0]])
        assert np.array_equal(found.boxes, expected.boxes)


def test_bad_requests_are_refused_before_any_work(trained, tmp_path, monkeypatch):
    stored = load_stored_model(trained.checkpoint)
    monkeypatch.setattr(export_module, "_content", None)
    with pytest.raises(InputError, match=r"must end in \.onnx"):
        export(stored, tmp_path / "model.pt")
    stored.cfg.test_dataloader.dataset.pipeline = [dict(type="LoadImageFromFile")]
    with pytest.raises(InputError, match=r"pipeline is LoadImageFromFile; an exported file prepares .* Resize"):
        export(stored, tmp_path / "model.onnx", fit=(64, 64))
    real = importlib.import_module
    stand_in = {"onnxscript": "no_such_module"}
    monkeypatch.setattr(export_module, "import_module", lambda name: real(stand_in.get(name, name)))
    stored.model.bbox_head = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match="head is Linear; models with an AdaMixerHead"):
        DetectionGraph(stored.model)
    with pytest.raises(InputError, match=r'needs onnxscript: pip install "lors_det\[onnx\]"'):
        export(stored, tmp_path / "model.onnx")


def test_files_of_others_are_refused(exported, tmp_path):
    for name, content, message in (
        ("none.onnx", None, "is no file"),
        ("words.onnx", b"words", "cannot be opened by onnxruntime"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            Detector.from_checkpoint(tmp_path / name)
    for metadata, message in (
        ({}, "not one that lors-det export wrote"),
        ({KEY: "{"}, "what cannot be read"),
        ({KEY: '{"classes": "a", "fit": [1, 1], "version": ""}'}, "classes is no list of names"),
        ({KEY: '{"classes": ["a"], "fit": [1, 0], "version": ""}'}, "fit is not two sides"),
        ({KEY: '{"classes": ["a"]}'}, "classes, fit or version is missing"),
    ):
        content = onnx.load(exported.path)
        del content.metadata_props[:]
        onnx.helper.set_model_props(content, metadata)
        onnx.save(content, tmp_path / "other.onnx")
        with pytest.raises(InputError, match=message):
            Detector.from_checkpoint(tmp_path / "other.onnx")


@pytest.mark.parametrize("values", [dict(tta=True), dict(config="x.py"), dict(names=["a"]), dict(trust=True)])
def test_what_is_inside_is_not_asked_for(exported, values):
    with pytest.raises(InputError, match="has its config and names inside"):
        Detector.from_checkpoint(exported.path, **values)


def test_an_image_of_no_width_is_refused(exported):
    detector = Detector.from_checkpoint(exported.path)
    with pytest.raises(InputError, match="1 x 600 pixels cannot be scaled to 0 x 128; crop it"):
        detector(np.zeros((600, 1, 3), np.uint8))


def test_facts_come_back():
    facts = Facts(("naïve", "b"), (3, 4), "1")
    assert Facts.from_json(facts.to_json()) == facts
