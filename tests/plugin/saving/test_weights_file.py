"""Weights as safetensors: what is kept, what is refused, and a detector from such a file alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lors_det.checkpoints.convert import convert_file
from lors_det.checkpoints.folding import fold_file
from lors_det.errors import InputError
from lors_det.inference import Detector
from lors_det.plugin.saving.weights_file import read_weights, write_weights

CONFIG = {"scale": (1333, 800), "names": ["a"], "rates": {3: 0.1}, "none": None, "nested": {"deep": [(1, "b")]}}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.safetensors"


def test_what_is_kept(path):
    base = torch.arange(12.0).reshape(3, 4)
    weights = {
        "whole": base,
        "again": base,
        "part": base[:, 1],
        "half": base.half(),
        "brain": base.bfloat16(),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "learnt": torch.nn.Parameter(base.double()),
    }
    meta = {
        "config_data": CONFIG,
        "dataset_meta": {"classes": ("a", "é")},
        "not_in_weights": {"bbox_head.query_start": "image", "bbox_head.decoder.strides": (4, 8)},
    }
    write_weights(path, {"state_dict": weights, "meta": meta})
    read = read_weights(path)
    assert read["meta"] == meta
    assert read["state_dict"].keys() == weights.keys()
    for name, weight in weights.items():
        assert read["state_dict"][name].dtype == weight.dtype
        assert torch.equal(read["state_dict"][name], weight)


def test_tensors_alone_are_read(path):
    save_file({"weight": torch.ones(2)}, path)
    read = read_weights(path)
    assert read["meta"] == {}
    assert torch.equal(read["state_dict"]["weight"], torch.ones(2))


def test_a_config_that_no_literal_stands_for_is_refused_and_nothing_is_written(path):
    with pytest.raises(InputError, match="config of the checkpoint"):
        write_weights(path, {"state_dict": {}, "meta": {"config_data": {"limit": float("inf")}}})
    assert not path.exists()


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({"config": "__import__('os').mkdir('harmed')"}, "config is more than plain data"),
        ({"config": "{"}, "config is more than plain data"),
        ({"config": "[" * 100_000}, "config is more than plain data"),
        ({"config": "[1]"}, "config is a list, and not a dict"),
        ({"classes": "'ab'"}, "classes is a str, and not a tuple"),
    ],
)
def test_texts_that_are_no_data(path, monkeypatch, texts, words):
    monkeypatch.chdir(path.parent)
    save_file({"weight": torch.ones(2)}, path, metadata=texts)
    with pytest.raises(InputError, match=words):
        read_weights(path)
    assert not Path("harmed").exists()


def of_header(header: dict[str, Any], content: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        struct.pack("<Q", 2**60),
        of_header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(8)),
        of_header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}, bytes(8)),
    ],
    ids=["empty", "text", "endless header", "truncated", "more than there is"],
)
def test_files_that_are_none(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors cannot be read as safetensors"):
        read_weights(path)


def test_a_detector_from_such_a_file_alone(trained, tmp_path, path):
    """To the bit, there and back; and folded."""
    image = trained.images[0]
    whole = Detector.from_checkpoint(trained.checkpoint, score_threshold=0)
    expected = whole(image)
    said = convert_file(Path(trained.checkpoint), path)
    assert "and the config" in said
    back = tmp_path / "back.pth"
    convert_file(path, back)
    for file in (path, back):
        own = Detector.from_checkpoint(file, score_threshold=0)
        assert own.classes == whole.classes
        assert np.array_equal(own(image).boxes, expected.boxes)
        assert np.array_equal(own(image).scores, expected.scores)
    fold_file(path, tmp_path / "dense.safetensors")
    dense = Detector.from_checkpoint(tmp_path / "dense.safetensors", score_threshold=0)
    assert np.allclose(dense(image).boxes, expected.boxes, atol=1e-2)
