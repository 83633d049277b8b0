"""Weights under the names of version 0.1.0 give what that version computed with them."""

from __future__ import annotations

import json

import pytest
import torch
from references.first_version import DECODERS, FILE, NUM_CLASSES, inputs, value

from lors_det.adamixer import Decoder, DecoderSpec, QueryState
from lors_det.adamixer.first_version import current_name, is_first_version

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


@pytest.mark.parametrize("variant", DECODERS)
def test_todays_names_are_not_its_names(variant):
    assert not is_first_version(Decoder(NUM_CLASSES, DecoderSpec(**DECODERS[variant])).state_dict())


def test_names_that_it_did_not_write_are_left_alone():
    spec = DecoderSpec(**DECODERS["lors"])
    for name in ("bases.0.other.weight", "stack.bases.0.mixing.out.weight", "elsewhere.weight"):
        assert current_name(name, spec) == name
