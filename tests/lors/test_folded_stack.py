"""Inside ``with stack.folded()`` weights are corrected once, and afterwards nothing of it is left."""

from __future__ import annotations

import copy
import io
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from references.foreign import DEFORMABLE, KINDS, TORCH, inputs, run
from references.small import randomise

from lors_det.lors import SharedStack, StaticResidual, static


@pytest.fixture
def stack():
    return TORCH.random_stack().eval()


@pytest.fixture
def given():
    x, arguments = inputs(TORCH)
    return x.detach(), arguments


@torch.no_grad()
def outputs(stack, given):
    return run(stack, *given)


def fresh(stack, given):
    """By a stack that has only the parameters of this one, as they are now."""
    other = TORCH.stack().double()
    other.load_state_dict(stack.state_dict())
    return outputs(other, given)


def is_up_to_date(stack, given):
    torch.testing.assert_close(outputs(stack, given), fresh(stack, given), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_it_computes_the_same(kind):
    stack = kind.random_stack().eval()
    x, arguments = inputs(kind)
    plain = run(stack, x, arguments)
    (expected,) = torch.autograd.grad(plain[-1].sum(), x)
    with stack.folded():
        folded = run(stack, x, arguments)
        (gradient,) = torch.autograd.grad(folded[-1].sum(), x)
    torch.testing.assert_close(folded, plain, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


def test_weights_are_corrected_once(stack, given, monkeypatch):
    calls = []
    correct = StaticResidual.forward
    monkeypatch.setattr(StaticResidual, "forward", lambda *args: calls.append(1) or correct(*args))
    with stack.folded():
        once = len(calls)
        outputs(stack, given)
        assert len(calls) == once > 0
    outputs(stack, given)
    assert len(calls) == 2 * once


@torch.no_grad()
def test_what_is_kept_is_not_handed_out(stack, given):
    """A functional call writes into what it is given, and two threads may be inside of one."""
    with stack.folded():
        before = outputs(stack, given)
        for number in range(len(stack)):
            stack.weights(number).clear()
        torch.testing.assert_close(outputs(stack, given), before, rtol=0, atol=0)


def test_weights_are_kept_in_another_type():
    stack = DEFORMABLE.random_stack().float().eval()
    x, arguments = inputs(DEFORMABLE, torch.float32)
    plain = outputs(stack, (x, arguments))
    corrected = ("cross_attn.value_proj.weight", "cross_attn.value_proj.bias", "ffn.layers.0.0.weight")
    expected = [{name: stack.weights(number)[name].bfloat16() for name in corrected} for number in range(4)]
    with stack.folded(torch.bfloat16), torch.autocast("cpu", torch.bfloat16):
        for number, weights in enumerate(expected):
            kept = stack.weights(number)
            assert all(torch.equal(kept[name], weight) for name, weight in weights.items())
            assert kept["norms.0.weight"] is stack.bases[0 if number != 2 else 1].norms.get_parameter("0.weight")
        narrow = outputs(stack, (x, arguments))
    torch.testing.assert_close([output.float() for output in narrow], plain, rtol=0.1, atol=0.1)
    assert all(parameter.dtype == torch.float32 for parameter in stack.parameters())
    assert all(map(torch.equal, outputs(stack, (x, arguments)), plain))


def test_it_nests(stack, given):
    with stack.folded():
        outer = outputs(stack, given)
        randomise(stack.residuals)
        assert all(map(torch.equal, outputs(stack, given), outer))  # nothing changes inside
        with stack.folded():
            is_up_to_date(stack, given)
            assert not torch.equal(outputs(stack, given)[0], outer[0])
        assert all(map(torch.equal, outputs(stack, given), outer))
    is_up_to_date(stack, given)


def same(one, other):
    return all(map(torch.equal, one, other))


def test_folds_that_overlap_end_in_any_order(stack, given):
    """As those of threads, and of detectors that live for a while, do; the last to begin is used."""
    first, second = stack.folded(), stack.folded()
    before = outputs(stack, given)
    first.__enter__()
    with torch.no_grad():
        for parameter in stack.bases.parameters():
            parameter.mul_(1.5)
    second.__enter__()
    new = outputs(stack, given)
    assert not same(new, before)
    first.__exit__(None, None, None)
    assert same(outputs(stack, given), new)
    third = stack.folded()
    third.__enter__()
    second.__exit__(None, None, None)
    third.__exit__(None, None, None)
    assert stack._kept is None
    with torch.no_grad():
        for parameter in stack.bases.parameters():
            parameter.mul_(1.5)
    assert not same(outputs(stack, given), new)


def test_threads_that_fold_leave_nothing_folded(stack, given):
    def request(_: int) -> list[torch.Tensor]:
        with stack.folded():
            return outputs(stack, given)

    expected = outputs(stack, given)
    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(request, range(100)):
            torch.testing.assert_close(found, expected)
    assert stack._kept is None


def test_an_exception_inside_ends_it(stack, given):
    with pytest.raises(KeyboardInterrupt), stack.folded():
        raise KeyboardInterrupt
    randomise(stack)
    is_up_to_date(stack, given)


def test_an_exception_on_entering_changes_nothing(stack, given):
    with stack.folded():
        before = outputs(stack, given)
        randomise(stack.residuals)
        with pytest.raises(RuntimeError), stack.folded("bfloat16"):
            pytest.fail("entered")
        assert all(map(torch.equal, outputs(stack, given), before))
    is_up_to_date(stack, given)


def test_training_inside_is_refused(stack, given):
    stack.train()
    with stack.folded():
        with pytest.raises(RuntimeError, match="folded, for inference"):
            run(stack, *given)
        outputs(stack, given)  # a look without gradients, such as to calibrate statistics, is none
    run(stack, *given)[-1].sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())


def test_a_copy_made_inside_is_not_folded(stack, given):
    file = io.BytesIO()
    with stack.folded():
        torch.save(stack, file)
        file.seek(0)
        for twin in (copy.deepcopy(stack), torch.load(file, weights_only=False)):
            randomise(twin)
            is_up_to_date(twin, given)
    is_up_to_date(stack, given)


def write_through_data(stack):
    """As an average of the weights is put in."""
    for parameter in stack.parameters():
        parameter.data.copy_(torch.randn_like(parameter) * 0.3)


def load_in_inference_mode(stack):
    with torch.inference_mode():
        stack.load_state_dict({name: value + 0.1 for name, value in stack.state_dict().items()})


def step_of_a_fused_optimiser(stack):
    """In evaluation mode, as it is fine-tuned with frozen statistics."""
    optimiser = torch.optim.AdamW(stack.parameters(), lr=0.1, fused=True)
    x, arguments = inputs(TORCH)
    run(stack, x, arguments)[-1].square().sum().backward()
    optimiser.step()


@pytest.mark.parametrize("change", [write_through_data, load_in_inference_mode, step_of_a_fused_optimiser])
def test_changed_parameters_take_effect_after_it(stack, given, change):
    """Twice: no number of changes may look like another."""
    before = outputs(stack, given)
    for _ in range(2):
        with stack.folded():
            assert all(torch.allclose(*pair, atol=1e-12) for pair in zip(outputs(stack, given), before))
        change(stack)
        is_up_to_date(stack, given)
        assert not torch.allclose(outputs(stack, given)[-1], before[-1])
        before = outputs(stack, given)


def test_folding_is_not_cast_by_what_is_around(stack, given):
    """Nor does it take the rounded weights of a fold that is open."""
    stack = stack.float()
    expected = stack.fold().state_dict()
    with torch.autocast("cpu", torch.bfloat16):
        cast = stack.fold().state_dict()
        with stack.folded():
            kept = [dict(stack.weights(number)) for number in range(len(stack))]
    with stack.folded(torch.bfloat16):
        inside = stack.fold().state_dict()
    for name, weight in expected.items():
        assert torch.equal(cast[name], weight), name
        assert torch.equal(inside[name], weight), name
    for number, weights in enumerate(kept):
        for name, weight in weights.items():
            assert torch.equal(weight, expected[f"{number}.{name}"]), name


@pytest.mark.parametrize("place", [dict(dtype=torch.float64), dict(dtype=torch.bfloat16), dict(device="meta")], ids=str)
def test_residuals_take_the_place_of_what_they_correct(place):
    layers = [torch.nn.Linear(4, 4, **place) for _ in range(2)]
    stack = SharedStack(layers, share=(0, 0), residuals={"weight": static(rank=1)})
    out = stack(torch.zeros(3, 4, **place))
    assert (out.dtype, out.device.type) == (layers[0].bias.dtype, layers[0].bias.device.type)
