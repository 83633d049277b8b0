"""The baseline: the same decoder, in code of its own and in the published operators."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from references.small import VARIANTS, inputs, lors_decoder, randomise
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import published
from benchmarks.baseline import Baseline

ROOT = Path(__file__).parent.parent.parent
NUM_STAGES, NUM_LEVELS = 3, 4
BEYOND = {"gained", "gained-partly-private", "mean-gradient"}
"""What no published code has."""


def values(outputs: list[Any]) -> list[Tensor]:
    return [tensor for output in outputs for tensor in (output[0], output[1])]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in BEYOND])
def test_it_computes_the_same_both_ways(variant):
    decoder = randomise(lors_decoder(**VARIANTS[variant])).double()
    baseline = Baseline(decoder)
    levels, state = inputs()
    leaves = [tensor.requires_grad_() for tensor in (*levels, *state)]

    def gradients(outputs: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
        total = sum(value.sin().sum() for value in outputs)
        return list(torch.autograd.grad(total, [*leaves, *weights]))

    ours, theirs = values(decoder(levels, state)), values(baseline.decode(levels, *state))
    of_ours = gradients(ours, list(decoder.parameters()))
    of_theirs = gradients(theirs, list(baseline.weights.values()))
    of_parameters = baseline.gradients(dict(zip(baseline.weights, of_theirs[len(leaves) :])))
    assert list(of_parameters) == [name for name, _ in decoder.named_parameters()]
    found = [*theirs, *of_theirs[: len(leaves)], *of_parameters.values()]
    for left, right in zip([*ours, *of_ours], found, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        (predicted,) = decoder(levels, state, last_only=True)
    torch.testing.assert_close(predicted.logits, theirs[-2], rtol=1e-9, atol=1e-9)


def test_its_weights_are_copies():
    decoder = randomise(lors_decoder()).double()
    baseline = Baseline(decoder)
    levels, state = inputs()
    before = values(baseline.decode(levels, *state))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.zero_()
    for left, right in zip(before, values(baseline.decode(levels, *state))):
        assert torch.equal(left, right)


def test_it_runs_no_code_that_it_is_compared_with():
    """However ours is changed, what it is compared with does not move."""
    baseline = Baseline(randomise(lors_decoder()).double())
    levels, state = inputs()
    files = set()

    def record(frame: FrameType, event: str, argument: object) -> None:
        files.add(Path(frame.f_code.co_filename))

    sys.setprofile(record)
    try:
        baseline.decode(levels, *state)
    finally:
        sys.setprofile(None)
    assert any(path.is_relative_to(ROOT / "benchmarks") for path in files)
    assert not [path for path in files if path.is_relative_to(ROOT / "lors_det")]
    assert not {path.name for path in files} & {"mock.py"}


class Operations(TorchDispatchMode):
    """Counts what is dispatched, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


def test_its_operators_are_the_published_ones():
    """Norms are one operator, ReLUs write in place, a level is sampled at once, no weight is formed twice."""
    baseline = Baseline(randomise(lors_decoder()))
    levels, state = inputs()
    levels, content, xyzr = [level.float() for level in levels], state.content.float(), state.xyzr.float()
    with Operations() as forward:
        outputs = values(baseline.decode(levels, content, xyzr))
    found = forward.names
    assert found["grid_sampler_2d"] == NUM_STAGES * NUM_LEVELS
    assert found["native_layer_norm"] == NUM_STAGES * 7  # M, S; after attention, mixing, transform; two heads
    assert found["relu_"] == NUM_STAGES * 5  # M, S; transform; two heads
    assert found["mm"] == NUM_STAGES  # B @ A
    assert not set(found) & {"var", "mean", "relu", "clamp_min", "threshold", "var_mean"}
    with Operations() as backward:
        torch.autograd.grad(sum(value.sum() for value in outputs), list(baseline.weights.values()))
    assert backward.names["grid_sampler_2d_backward"] == NUM_STAGES * NUM_LEVELS
    assert backward.names["native_layer_norm_backward"] == NUM_STAGES * 7


def test_kernels_are_stacked_then_summed():
    shared, left = torch.randn(5, 2, 4, 3), torch.randn(2, 3, 4, 2)
    core, right = torch.randn(5, 2, 3, 2, 2), torch.randn(2, 3, 2, 3)
    found = published.corrected_kernels(shared, left, core, right)
    expected = shared + torch.einsum("gkar,qgkrs,gksc->qgac", left, core, right)
    torch.testing.assert_close(found, expected)


def test_weights_that_are_kept_in_a_precision_are_those_of_products():
    """Also a bias whose weight is a base's; norms and the temperatures of attention stay in float32."""
    baseline = Baseline(lors_decoder())
    kept = baseline.kept_in(torch.bfloat16).weights
    others = {name.split(".", 3)[3] for name, weight in kept.items() if weight.dtype == torch.float32}
    places = ("attention.norm", "mixing.norm", "ffn.norm", "classify.1", "regress.1")
    assert others == {"attention.tau", *(f"{place}.{kind}" for place in places for kind in ("weight", "bias"))}
    assert kept.keys() == baseline.weights.keys()
