"""A stack among torch's own tools: threads, torch.func, parametrisations, other modules of the same tree."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, jvp
from torch.nn.utils.parametrizations import spectral_norm

from lors_det.lors import SharedStack, ledger, static


def linear_stack(**options: bool) -> SharedStack:
    """Three stages with residuals that are not zero."""
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3)]
    stack = SharedStack(stages, share=(0, 0, 0), residuals={"0.weight": static(rank=2)}, **options)
    for residual in stack.residuals.parameters():
        nn.init.normal_(residual)
    return stack.double()


@pytest.fixture
def given() -> torch.Tensor:
    return torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def copied(stack: SharedStack) -> SharedStack:
    return pickle.loads(pickle.dumps(copy.deepcopy(stack)))


@pytest.mark.parametrize("folded", [False, True])
def test_threads_call_one_stack(folded, monkeypatch):
    """Weights are put into the stages: one thread must not take out what another computes with."""
    torch.manual_seed(0)
    stages = [nn.TransformerDecoderLayer(16, 2, 32, dropout=0.0) for _ in range(4)]
    names = ("self_attn.in_proj_weight", "linear1.weight", "linear2.weight")
    stack = copied(SharedStack(stages, share=(0,) * 4, residuals=dict.fromkeys(names, static(rank=2))).eval())
    target, memory = torch.randn(5, 2, 16), torch.randn(7, 2, 16)

    def run(_: object) -> torch.Tensor:
        x = target
        for stage in stack:
            x = stage(x, memory)
        return x

    keys = list(stack.state_dict())
    with torch.no_grad():
        expected = run(None)
        folding = stack.folded() if folded else torch.no_grad()
        with folding, ThreadPoolExecutor(8) as threads:
            for found in threads.map(run, range(200)):
                torch.testing.assert_close(found, expected)
    assert list(stack.state_dict()) == keys


def test_functional_call_takes_other_values(given):
    stack, other = linear_stack(), linear_stack()
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    values = {name: parameter.detach() for name, parameter in other.named_parameters()}
    torch.testing.assert_close(functional_call(stack, values, (given,)), other(given))
    assert not torch.allclose(stack(given), other(given))

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        return functional_call(stack, parameters, (given,)).square().sum()

    gradients = grad(loss)(values)
    other(given).square().sum().backward()
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


@pytest.mark.parametrize("mean_gradient", [False, True])
def test_transforms_of_torch_func(given, mean_gradient):
    stack = linear_stack(mean_gradient=mean_gradient)
    found = jacrev(lambda x: stack(x).sum(0))(given)
    expected = torch.autograd.functional.jacobian(lambda x: stack(x).sum(0), given)
    torch.testing.assert_close(found, expected)


def test_forwards_gradients_are_not_scaled(given):
    stack = linear_stack(mean_gradient=True)
    values = {name: parameter.detach() for name, parameter in stack.named_parameters()}
    tangents = {name: torch.randn_like(value) for name, value in values.items()}
    found = jvp(lambda values: functional_call(stack, values, (given,)), (values,), (tangents,))[1]
    stack.mean_gradient = False
    expected = jvp(lambda values: functional_call(stack, values, (given,)), (values,), (tangents,))[1]
    torch.testing.assert_close(found, expected)
    assert expected.abs().max() > 0


def test_values_that_are_gone_are_not_computed_again_with_others(given):
    stack = linear_stack()
    stack.recompute = True
    values = {name: torch.randn_like(each, requires_grad=True) for name, each in stack.named_parameters()}
    output = functional_call(stack, values, (given,))
    with pytest.raises(RuntimeError, match=r"other parameters than when .* set stack.recompute = False"):
        output.sum().backward()
    stack(given).sum().backward()


def test_a_base_may_be_parametrised(given):
    stack = linear_stack()
    spectral_norm(stack.bases[0].get_submodule("0"), "weight")
    weight = stack.weights(0)["0.weight"] - stack.residuals[0].get_submodule("0.weight")(torch.zeros(6, 6).double())[0]
    assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=0.05)
    stack(given).sum().backward()
    assert stack.bases[0].get_parameter("0.parametrizations.weight.original").grad is not None


def test_stacks_of_stacks(given):
    inner = [linear_stack() for _ in range(2)]
    outer = SharedStack(inner, share=(0, 0), residuals={"bases.0.0.weight": static(rank=1)}).double()
    first, second = (outer[number](given) for number in range(2))
    assert torch.equal(first, second)  # the residuals start at zero
    outer(given).sum().backward()
    assert all(parameter.grad is not None for parameter in outer.parameters())


def test_a_child_may_be_called_as_a_method():
    stages = [nn.ModuleDict({"find": nn.Linear(2, 2), "put": nn.Linear(2, 2)}) for _ in range(2)]
    stack = SharedStack(stages, share=(0, 0), residuals={"find": None, "put.weight": static(rank=1)})
    assert "bases.0.put.weight" in stack.state_dict()


def test_what_is_frozen_folds_frozen():
    stages = [nn.Linear(3, 3).requires_grad_(False) for _ in range(2)]
    stack = SharedStack(stages, share=(0, 0), residuals={"weight": None, "bias": None})
    assert not any(parameter.requires_grad for parameter in stack.fold().parameters())
    stages = [nn.Linear(3, 3).requires_grad_(False) for _ in range(2)]
    stack = SharedStack(stages, share=(0, 0), residuals={"weight": static(rank=1)})
    plain = stack.fold()
    assert [plain[0].weight.requires_grad, plain[0].bias.requires_grad] == [True, False]
    stack.residuals.requires_grad_(False)
    assert not stack.fold()[0].weight.requires_grad


def test_the_ledger_counts_a_module_that_stages_have_in_common():
    norm = nn.LayerNorm(3)
    stages = [nn.Sequential(nn.Linear(3, 3), norm) for _ in range(3)]
    stack = SharedStack(stages, share=(0, 0, 1), residuals={"0.weight": None})
    users = {entry.name: entry.users for entry in ledger(stack)}
    assert users["stages.0.1.weight"] == (0, 1, 2)
    assert users["bases.0.0.weight"] == (0, 1)
    assert users["stages.1.0.bias"] == (1,)


def test_mean_gradients_compile_as_one_graph(given):
    stack = linear_stack(mean_gradient=True)
    stack(given).square().sum().backward()
    expected = {name: parameter.grad.clone() for name, parameter in stack.named_parameters()}
    stack.zero_grad()
    torch.compile(stack, backend="eager", fullgraph=True)(given).square().sum().backward()
    for name, parameter in stack.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])
