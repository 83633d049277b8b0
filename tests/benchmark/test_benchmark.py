"""Measuring: the plain operations are the same model, and what is counted is counted right."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from references.small import VARIANTS, inputs, lors_decoder, randomise

from lors_det.adamixer import QueryState
from lors_det.benchmark.plain import plain_operations
from lors_det.benchmark.timing import Comparison, compare


@pytest.mark.parametrize("variant", VARIANTS)
def test_plain_operations_compute_the_same(variant):
    decoder = randomise(lors_decoder(**VARIANTS[variant])).double()
    levels, state = inputs()

    def results() -> list[torch.Tensor]:
        leaves = [tensor.clone().requires_grad_() for tensor in (*levels, *state)]
        outputs = decoder(leaves[:4], QueryState(*leaves[4:]))
        values = [tensor for output in outputs for tensor in (output.logits, output.boxes_xyxy)]
        total = sum(value.sin().sum() for value in values)
        grads = torch.autograd.grad(total, [*leaves, *decoder.parameters()])
        with torch.no_grad():
            predicted = decoder.eval().predict(levels, state)
        decoder.train()
        return [*values, *grads, predicted.logits]

    ours = results()
    with plain_operations():
        plain = results()
    for left, right in zip(ours, plain):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


def test_plain_operations_keep_nothing_and_leave_nothing():
    decoder = randomise(lors_decoder()).eval()
    levels, state = inputs()
    levels, state = [level.float() for level in levels], QueryState(*(tensor.float() for tensor in state))
    residual = decoder.stages[0].mixing.channel
    with torch.no_grad(), plain_operations():
        decoder.predict(levels, state)
    assert residual.cache._key is None
    with torch.no_grad():
        decoder.predict(levels, state)
    assert residual.cache._key is not None


def test_what_a_call_keeps_and_does_is_counted():
    weight = torch.nn.Parameter(torch.randn(8, 4))

    def run(x: torch.Tensor) -> torch.Tensor:
        return (x @ weight.t()).exp().sum()  # keeps x and the weight, which are known, and exp's (5, 8) result

    measured = compare(
        run, run, lambda: (torch.randn(5, 4),), parameters=[weight], rounds=3, device=torch.device("cpu")
    )
    assert measured.saved == (5 * 8 * 4,) * 2
    assert measured.operations == (3, 3)  # product, exp, sum; the transpose is a view
    assert len(measured.ours) == len(measured.plain) == 3


def test_ratios_are_of_rounds():
    measured = Comparison(ours=[1.0, 4.0, 3.0], plain=[2.0, 4.0, 12.0], saved=(0, 0), operations=(0, 0))
    assert measured.ratio == 0.5
    assert measured.spread == (0.25, 1.0)


def test_the_command_prints_json(root):
    command = [sys.executable, root / "tools/benchmark_ops.py", "--only", "sampling", "--pairs", "1x2", "--rounds", "2"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["cases"]
    assert set(found) == {"sampling forward, B=1 Q=2", "sampling both ways, B=1 Q=2"}
    for case in found.values():
        assert case["ratio"] > 0
        assert all(error < 1e-5 for error in case["errors"])
