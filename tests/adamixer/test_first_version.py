"""Weights under the names of version 0.1.0 give what that version computed with them."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from mmengine.runner.checkpoint import load_state_dict
from references.first_version import DECODERS, FILE, NUM_CLASSES, inputs, value
from torch import nn

from lors_det.adamixer import Decoder, DecoderSpec, QueryState
from lors_det.adamixer.first_version import current_name, is_first_version
from lors_det.checkpoints.contents import todays_names

WRITTEN = json.loads(FILE.read_text())["decoders"]


@pytest.mark.parametrize("variant", DECODERS)
def test_its_weights_compute_the_same(variant):
    decoder = Decoder(NUM_CLASSES, DecoderSpec(**DECODERS[variant])).double()
    old = {name: value(name, tuple(shape)) for name, shape in WRITTEN[variant]["shapes"].items()}
    assert is_first_version(old)
    decoder.load_state_dict({current_name(name, decoder.spec): weight for name, weight in old.items()}, strict=True)
    levels, content, xyzr = inputs()
    with torch.no_grad():
        outputs = decoder(levels, QueryState(content, xyzr))
    for output, written in zip(outputs, WRITTEN[variant]["outputs"], strict=True):
        found = torch.cat([output.logits, output.boxes_xyxy], dim=-1)[0]
        torch.testing.assert_close(found, torch.tensor(written, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("load", [nn.Module.load_state_dict, load_state_dict], ids=["torch", "mmengine"])
@pytest.mark.parametrize("variant", DECODERS)
def test_whoever_loads_them_finds_their_places(variant, load):
    """Also inside a model and in a copy of it, and strictly; mmengine's own loading serves inferencers and init_cfg."""
    model = copy.deepcopy(nn.ModuleDict({"decoder": Decoder(NUM_CLASSES, DecoderSpec(**DECODERS[variant]))}).double())
    old = {name: value(name, tuple(shape)) for name, shape in WRITTEN[variant]["shapes"].items()}
    load(model, {f"decoder.{name}": weight for name, weight in old.items()}, strict=True)
    for name, weight in old.items():
        assert torch.equal(model["decoder"].get_parameter(current_name(name, model["decoder"].spec)), weight)


@pytest.mark.parametrize("variant", DECODERS)
def test_conversion_tells_todays_names_without_a_config(variant):
    decoder = Decoder(NUM_CLASSES, DecoderSpec(**DECODERS[variant]))
    old = {f"bbox_head.decoder.{name}": torch.zeros(1) for name in WRITTEN[variant]["shapes"]}
    renamed = todays_names({**old, "neck.norm.weight": torch.zeros(1)})
    assert set(renamed) == {"neck.norm.weight", *(f"bbox_head.decoder.{name}" for name in decoder.state_dict())}


@pytest.mark.parametrize("variant", DECODERS)
def test_todays_names_are_not_its_names(variant):
    assert not is_first_version(Decoder(NUM_CLASSES, DecoderSpec(**DECODERS[variant])).state_dict())


def test_names_that_it_did_not_write_are_left_alone():
    spec = DecoderSpec(**DECODERS["lors"])
    for name in ("bases.0.other.weight", "stack.bases.0.mixing.out.weight", "elsewhere.weight"):
        assert current_name(name, spec) == name
