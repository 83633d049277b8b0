"""Stages of any make that share weights: what they compute, what is shared, what is private."""

from __future__ import annotations

import copy

import pytest
import torch
from references.foreign import DIM, KINDS, SHARE, inputs, run
from references.small import randomise
from torch import nn

from lors_det.lors import SharedStack, ledger

EXACT = dict(rtol=1e-12, atol=1e-12)
USERS = {base: [stage for stage, used in enumerate(SHARE) if used == base] for base in (0, 1)}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def gradients(stages, x, arguments, direction):
    """Outputs, and the gradient of the input; the parameters' are left in them."""
    outputs = run(stages, x, arguments)
    x.grad = None
    (outputs[-1] * direction).sum().backward()
    return outputs, x.grad


@torch.no_grad()
def alone(stages, x, arguments):
    """The output of each stage for the same input."""
    return [stage(x, **arguments) for stage in stages]


def test_folded_stages_compute_the_same(kind):
    stack = kind.random_stack()
    x, arguments = inputs(kind)
    direction = torch.randn_like(x)
    outputs, gradient = gradients(stack, x, arguments, direction)
    plain = stack.fold()
    assert {type(stage) for stage in plain} == {type(kind.make())}
    assert [set(stage.state_dict()) for stage in plain] == [set(kind.make().state_dict())] * len(SHARE)
    folded_outputs, folded_gradient = gradients(plain, x, arguments, direction)
    torch.testing.assert_close(outputs, folded_outputs, **EXACT)
    torch.testing.assert_close(gradient, folded_gradient, **EXACT)


def test_folded_stages_share_nothing(kind):
    stack = kind.random_stack()
    x, arguments = inputs(kind)
    plain, before = stack.fold(), alone(stack, x, arguments)
    randomise(plain)
    assert all(map(torch.equal, alone(stack, x, arguments), before))


def test_gradients_are_those_of_the_corrected_weights(kind):
    """Of a base: the sum of its users'. Of a static residual W + up down: by the chain rule."""
    stack = kind.random_stack()
    x, arguments = inputs(kind)
    direction = torch.randn_like(x)
    gradients(stack, x, arguments, direction)
    plain = stack.fold()
    gradients(plain, x, arguments, direction)
    for base, users in USERS.items():
        for name, parameter in stack.bases[base].named_parameters():
            expected = sum(plain[user].get_parameter(name).grad for user in users)
            torch.testing.assert_close(parameter.grad, expected, **EXACT)
    for number, stage in enumerate(plain):
        for name, parameter in stack.stages[number].named_parameters():
            torch.testing.assert_close(parameter.grad, stage.get_parameter(name).grad, **EXACT)
        residual = stack.residuals[number].get_submodule(next(iter(kind.residuals)))
        weight = stage.get_parameter(next(iter(kind.residuals))).grad
        torch.testing.assert_close(residual.up.grad, weight @ residual.down.t(), **EXACT)
        torch.testing.assert_close(residual.down.grad, residual.up.t() @ weight, **EXACT)
    assert all(parameter.grad is not None for parameter in stack.parameters())


def test_a_zero_residual_is_the_base(kind):
    """What is shared is bit for bit that of the first user of its base; what is private is a stage's own."""
    stages = [randomise(kind.make()).double() for _ in SHARE]
    plain = copy.deepcopy(stages)
    stack = SharedStack(stages, share=SHARE, residuals=kind.residuals).double()
    for number, stage in enumerate(plain):
        first = plain[USERS[SHARE[number]][0]].state_dict()
        stage.load_state_dict({name: first[name] for name in stack.weights(number)}, strict=False)
        state = stack.fold()[number].state_dict()
        assert all(torch.equal(value, state[name]) for name, value in stage.state_dict().items())
    x, arguments = inputs(kind)
    torch.testing.assert_close(alone(stack, x, arguments), alone(plain, x, arguments), **EXACT)


def test_moving_a_base_moves_every_user_and_no_other(kind):
    x, arguments = inputs(kind)
    for base, users in USERS.items():
        for name in dict(kind.random_stack().bases[base].named_parameters()):
            stack = kind.random_stack()
            before = stack.fold()
            with torch.no_grad():
                stack.bases[base].get_parameter(name).add_(1)
            after = stack.fold()
            for number in range(len(SHARE)):
                moved = after[number].get_parameter(name) - before[number].get_parameter(name)
                assert torch.equal(moved.abs() > 0.5, torch.full_like(moved, number in users, dtype=torch.bool)), name
        stack = kind.random_stack()
        outputs = alone(stack, x, arguments)
        randomise(stack.bases[base])
        moved = [not torch.equal(*pair) for pair in zip(outputs, alone(stack, x, arguments))]
        assert moved == [number in users for number in range(len(SHARE))]


@pytest.mark.parametrize("part", ["stages", "residuals"])
def test_moving_a_stage_leaves_the_others(kind, part):
    stack = kind.random_stack()
    x, arguments = inputs(kind)
    outputs = alone(stack, x, arguments)
    for number in range(len(SHARE)):
        moved = copy.deepcopy(stack)
        randomise(getattr(moved, part)[number])
        same = [torch.equal(*pair) for pair in zip(outputs, alone(moved, x, arguments))]
        assert same == [other != number for other in range(len(SHARE))]


def test_a_deep_copy_shares_within_itself_alone(kind):
    stack = kind.random_stack()
    twin = copy.deepcopy(stack)
    x, arguments = inputs(kind)
    outputs = alone(stack, x, arguments)
    assert all(map(torch.equal, alone(twin, x, arguments), outputs))
    assert [name for name, _ in twin.named_parameters()] == [name for name, _ in stack.named_parameters()]
    randomise(twin.bases[0])
    assert all(map(torch.equal, alone(stack, x, arguments), outputs))
    moved = [not torch.equal(*pair) for pair in zip(outputs, alone(twin, x, arguments))]
    assert moved == [number in USERS[0] for number in range(len(SHARE))]


def test_a_state_dict_has_every_parameter_once(kind):
    stack, other = kind.random_stack(), kind.random_stack()
    state = stack.state_dict()
    assert list(state) == [name for name, _ in stack.named_parameters(remove_duplicate=False)]
    assert len({value.data_ptr() for value in state.values()}) == len(state)
    whole = {name: value.numel() for name, value in kind.make().named_parameters()}
    shared = set(dict(stack.bases[0].named_parameters()))
    expected = sum(size * (len(USERS) if name in shared else len(SHARE)) for name, size in whole.items())
    assert sum(v.numel() for n, v in state.items() if not n.startswith("residuals.")) == expected
    assert {name.removeprefix("stages.3.") for name in state if name.startswith("stages.3.")} == set(whole) - shared
    other.load_state_dict(state, strict=True)
    x, arguments = inputs(kind)
    assert all(map(torch.equal, alone(other, x, arguments), alone(stack, x, arguments)))


def test_a_ledger_counts_every_parameter_once_with_its_users(kind):
    stack = kind.stack()
    entries = ledger(stack, prefix="layers.")
    assert {entry.name: entry.numel for entry in entries} == {
        f"layers.{name}": parameter.numel() for name, parameter in stack.named_parameters()
    }
    for entry in entries:
        _, part, number, _ = entry.name.split(".", 3)
        assert list(entry.users) == (USERS[int(number)] if part == "bases" else [int(number)])


def test_a_stage_without_a_base_is_its_residuals():
    """And starts of its own, not at zero."""
    kind = KINDS["torch"]
    residuals = {name: make for name, make in kind.residuals.items() if make is not None}
    stack = kind._replace(residuals=residuals).stack(share=(0, None, 0, 0))
    x, arguments = inputs(kind, torch.float32)
    run(stack, x, arguments)[-1].sum().backward()
    weight = stack.fold()[1].self_attn.in_proj_weight
    residual = stack.residuals[1].get_submodule("self_attn.in_proj_weight")
    torch.testing.assert_close(weight, residual.up @ residual.down)
    assert weight.std() > 0.1
    outputs = alone(stack, x, arguments)
    randomise(stack.bases[0])
    moved = [not torch.equal(*pair) for pair in zip(outputs, alone(stack, x, arguments))]
    assert moved == [True, False, True, True]


def test_a_stack_is_iterated_and_indexed_as_a_list(kind):
    stack = kind.random_stack()
    x, arguments = inputs(kind)
    plain = list(stack.fold())
    assert len(stack) == len(SHARE) == len(list(stack))
    for pick in (lambda s: [s[0]], lambda s: [s[-1]], lambda s: s[1:3], lambda s: s[::-2], lambda s: list(reversed(s))):
        outputs = alone(pick(stack), x, arguments)
        torch.testing.assert_close(outputs, alone(pick(plain), x, arguments), **EXACT)
    for index in (len(SHARE), -len(SHARE) - 1):
        with pytest.raises(IndexError):
            stack[index]


def test_a_stage_shows_its_attributes():
    stack = KINDS["deformable"].stack()
    assert stack[0].embed_dims == DIM
    assert stack[-1].norms is stack.stages[3].norms
    assert isinstance(stack[1].self_attn, nn.Module)
    with pytest.raises(AttributeError, match="embed_dim'"):
        _ = stack[0].embed_dim
    with pytest.raises(AttributeError):  # it would be lost with this handle
        stack[0].embed_dims = 16
    twin = copy.deepcopy(stack[2])
    assert twin._number == 2
    assert twin._stack.stages is not stack.stages
    assert twin.embed_dims == DIM
