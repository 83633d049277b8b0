"""Folded weights are kept in evaluation, and never when they are out of date."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from references.small import inputs, lors_decoder, randomise
from torch import nn

from lors_det.lors import AdaptiveResidual

DIM, GROUPS, ROWS, COLUMNS = 6, 2, 5, 4


@pytest.fixture
def base():
    return randomise(nn.Linear(DIM, GROUPS * ROWS * COLUMNS))


@pytest.fixture
def residual():
    return randomise(AdaptiveResidual(DIM, (ROWS, COLUMNS), num_groups=GROUPS, rank=3, num_residuals=2)).eval()


def fresh(residual, base, query):
    """The kernels by weights that were just folded."""
    return nn.functional.linear(query, *residual.fold(base)).unflatten(-1, (GROUPS, ROWS, COLUMNS))


def same_kernels(residual, base):
    query = torch.randn(3, DIM)
    with torch.no_grad():
        return torch.equal(residual(query, base), fresh(residual, base, query))


def test_evaluation_folds_once(residual, base, monkeypatch):
    folds = []
    monkeypatch.setattr(residual, "fold", lambda base: folds.append(1) or AdaptiveResidual.fold(residual, base))
    with torch.no_grad():
        for _ in range(3):
            residual(torch.randn(2, DIM), base)
    assert len(folds) == 1


@pytest.mark.parametrize("name", ["left", "right", "core.weight", "core.bias", "base.weight", "base.bias"])
def test_a_changed_parameter_is_noticed(residual, base, name):
    assert same_kernels(residual, base)
    owner = base if name.startswith("base") else residual
    with torch.no_grad():
        owner.get_parameter(name.removeprefix("base.")).mul_(2)
    assert same_kernels(residual, base)


def test_loading_an_optimiser_step_and_another_base_are_noticed(residual, base):
    assert same_kernels(residual, base)
    residual.load_state_dict({name: tensor + 1 for name, tensor in residual.state_dict().items()})
    assert same_kernels(residual, base)
    optimiser = torch.optim.AdamW([*residual.parameters(), *base.parameters()], lr=0.1, fused=True)
    residual(torch.randn(2, DIM), base).sum().backward()
    optimiser.step()
    assert same_kernels(residual, base)
    assert same_kernels(residual, randomise(nn.Linear(DIM, GROUPS * ROWS * COLUMNS)))


def test_weights_swapped_behind_the_versions_are_noticed_at_the_next_evaluation(residual, base):
    """As an average of the weights is, by writing through ``data`` before a validation."""
    assert same_kernels(residual, base)
    residual.train()
    residual.left.data.copy_(torch.randn_like(residual.left))
    residual.eval()
    assert same_kernels(residual, base)


def test_training_and_gradients_do_without(residual, base):
    query = torch.randn(2, DIM)
    with torch.no_grad():
        residual(query, base)
    residual(query, base).sum().backward()  # evaluation mode, but gradients are wanted
    assert all(parameter.grad is not None for parameter in (*residual.parameters(), *base.parameters()))
    residual.train()
    with torch.no_grad():
        residual(query, base)
    assert residual.cache._key is None


def test_a_module_made_in_inference_mode_has_no_versions():
    with torch.inference_mode():
        residual = AdaptiveResidual(DIM, (ROWS, COLUMNS), num_groups=GROUPS, rank=3, num_residuals=2).eval()
        assert same_kernels(residual, nn.Linear(DIM, GROUPS * ROWS * COLUMNS))


def test_a_cache_is_no_part_of_a_module(residual, base):
    with torch.no_grad():
        residual(torch.randn(2, DIM), base)
    assert residual.cache._key is not None
    assert set(residual.state_dict()) == {"left", "right", "core.weight", "core.bias"}
    file = io.BytesIO()
    torch.save(residual, file)
    file.seek(0)
    for twin in (copy.deepcopy(residual), torch.load(file, weights_only=False)):
        assert twin.cache._key is None
        assert same_kernels(twin, base)


def test_autocast_keeps_what_it_multiplies(residual, base):
    query = torch.randn(3, DIM)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        kernels = residual(query, base)
    assert kernels.dtype == torch.bfloat16
    assert all(tensor.dtype == torch.bfloat16 for tensor in residual.cache._folded)
    assert same_kernels(residual, base)  # in float32 again


def test_a_decoder_predicts_the_same_with_and_without():
    decoder = randomise(lors_decoder()).double().eval()
    plain = lors_decoder(cache_folds=False).double().eval()
    plain.load_state_dict(decoder.state_dict())
    levels, state = inputs()
    with torch.no_grad():
        outputs = [model(levels, state)[-1] for model in (decoder, plain)]
    for left, right in zip(*(output[:2] for output in outputs)):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)
