"""Predictions are those of the weights that a decoder has now, by whatever way they came there."""

from __future__ import annotations

import pytest
import torch
from references.small import VARIANTS, adamixer_decoder, inputs, lors_decoder, randomise
from torch import Tensor

from lors_det.adamixer import Decoder

DECODERS = {"adamixer": adamixer_decoder, **dict.fromkeys(VARIANTS, lors_decoder)}


@pytest.fixture(params=DECODERS)
def decoder(request) -> Decoder:
    """In evaluation, and used once."""
    made = DECODERS[request.param](**VARIANTS.get(request.param, {}))
    made = randomise(made).double().eval()
    predict(made)
    return made


def predict(decoder: Decoder) -> Tensor:
    torch.manual_seed(1)
    levels, state = inputs()
    with torch.no_grad():
        (last,) = decoder(levels, state, last_only=True)
    return torch.cat([last.logits, last.boxes_xyxy], dim=-1)


def of_its_weights(decoder: Decoder) -> Tensor:
    """What a decoder predicts that never had other weights."""
    fresh = Decoder(decoder.stack[0].classify[3].out_features, decoder.spec).double()
    fresh.load_state_dict({name: weight.clone() for name, weight in decoder.state_dict().items()})
    return predict(fresh)


def other_weights(decoder: Decoder) -> dict[str, Tensor]:
    return {name: weight + torch.randn_like(weight) * 0.1 for name, weight in decoder.state_dict().items()}


def check(decoder: Decoder, before: Tensor) -> None:
    found = predict(decoder)
    assert torch.equal(found, of_its_weights(decoder))
    assert not torch.allclose(found, before)


def test_after_a_copy_into_data(decoder):
    before, weights = predict(decoder), other_weights(decoder)
    for name, parameter in decoder.named_parameters():
        parameter.data.copy_(weights[name])
    check(decoder, before)


def test_after_each_of_two_loads_in_inference_mode(decoder):
    """Of a decoder that was made there, whose tensors have no versions."""
    with torch.inference_mode():
        made = Decoder(decoder.stack[0].classify[3].out_features, decoder.spec).double().eval()
        before = predict(made)
        for _ in range(2):
            made.load_state_dict(other_weights(made))
            check(made, before)
            before = predict(made)


@pytest.mark.parametrize("fused", [True, False])
def test_after_fine_tuning_in_evaluation_mode(decoder, fused):
    """With predictions between a loss and its step, as a monitor makes them."""
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=0.01, fused=fused)
    levels, state = inputs()
    for _ in range(2):
        optimiser.zero_grad()
        loss = sum(output.logits.sin().sum() + output.boxes_xyxy.sin().sum() for output in decoder(levels, state))
        before = predict(decoder)
        loss.backward()
        optimiser.step()
        check(decoder, before)


def test_after_folded_weights_were_left(decoder):
    """Inside, corrections are those of entering, by promise."""
    before, weights = predict(decoder), other_weights(decoder)
    with decoder.folded():
        assert torch.equal(predict(decoder), before)
        with torch.no_grad():
            for name, parameter in decoder.named_parameters():
                if name.startswith("stack.residuals."):
                    parameter.copy_(weights[name])
        assert torch.equal(predict(decoder), before)
    decoder.load_state_dict(weights)
    check(decoder, before)


def test_folded_predictions_are_the_same_bits(decoder):
    before = predict(decoder)
    with decoder.folded():
        assert torch.equal(predict(decoder), before)
