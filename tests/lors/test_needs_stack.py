"""A module whose parameters a stack took is not called without them, which could be wrong in silence."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import prune, spectral_norm
from torch.utils.checkpoint import checkpoint

from lors_det.lors import SharedStack, static

WITHOUT = r"was called without .*, which its stack owns .* stack\[i\]\(\.\.\.\)"


class Stage(nn.Module):
    """A norm and a layer that torch computes without gain and bias too; the layer may be computed again."""

    def __init__(self, *, computed_again: bool = False) -> None:
        super().__init__()
        self.norm, self.conv = nn.GroupNorm(1, 2), nn.Conv1d(2, 2, 1)
        self.computed_again = computed_again

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def half(x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).square()

        x = self.norm(x)
        return checkpoint(half, x, use_reentrant=False) if self.computed_again else half(x)


def stack_of(**options: bool) -> SharedStack:
    torch.manual_seed(0)
    stages = [Stage(**options) for _ in range(2)]
    stack = SharedStack(stages, share=(0, 0), residuals={"norm": None, "conv.bias": None})
    for parameter in stack.bases.parameters():
        nn.init.normal_(parameter, mean=3)
    return stack


def test_a_part_is_not_called_by_itself():
    stack, x = stack_of(), torch.randn(1, 2, 3)
    for each in (stack, copy.deepcopy(stack), pickle.loads(pickle.dumps(stack))):
        for part in (each[1].norm, each[1].conv, each.stages[0]):
            with pytest.raises(RuntimeError, match=WITHOUT):
                part(x)
        plain = each.fold()
        assert torch.equal(plain[1](plain[0](x)), each(x))
        assert plain[1].norm(x).mean() > 1
        assert not any(module._forward_pre_hooks for module in plain.modules())
    with pytest.raises(RuntimeError, match=r"GroupNorm was called without weight, bias, "):
        stack[0].norm(x)


def test_a_part_that_is_computed_again_is_refused_and_the_remedy_gives_the_same_gradients():
    x = torch.randn(1, 2, 3)
    with pytest.raises(RuntimeError, match=r"Conv1d was called without bias.* set stack.recompute = True"):
        stack_of(computed_again=True)(x).sum().backward()
    found = []
    for recompute in (False, True):
        stack = stack_of()
        stack.recompute = recompute
        stack(x).sum().backward()
        found.append([parameter.grad for parameter in stack.parameters()])
    for kept, again in zip(*found):
        torch.testing.assert_close(again, kept)


def test_a_stack_within_a_stage_is_used_by_the_outer_one_alone():
    inner = [
        SharedStack([nn.Linear(4, 4) for _ in "ab"], share=(0, 0), residuals={"weight": static(rank=1)}) for _ in "ab"
    ]
    inner[1].recompute = True
    residuals = {"bases.0.weight": None}
    with pytest.raises(ValueError, match=r"stage 1 recomputes activations by itself \(recompute\)"):
        SharedStack(inner, share=(0, 0), residuals=residuals)
    inner[1].recompute = False
    outer, x = SharedStack(inner, share=(0, 0), residuals=residuals).eval(), torch.randn(3, 4)
    expected = outer(x)
    with outer.folded():
        torch.testing.assert_close(outer(x), expected)
    words = "this stack's weight is shared by a stack around it"
    with outer.folded(), pytest.raises(RuntimeError, match=words):
        inner[0].folded().__enter__()
    with pytest.raises(RuntimeError, match=r"SharedStack was called without bases\.0\.weight"):
        outer.stages[0](x)
    biased = [SharedStack([nn.Linear(4, 4) for _ in "ab"], share=(0, 0), residuals={"bias": None}) for _ in "ab"]
    plain = SharedStack(biased, share=(0, 0), residuals={"stages.0.weight": None}).fold()[0]
    with pytest.raises(
        RuntimeError, match="Linear was called without bias"
    ):  # of the inner stack, which is none of fold's
        plain.stages[1](x)
    torch.testing.assert_close(outer(x), expected)


def test_what_computes_a_weight_before_each_call_is_for_the_stages_not_for_a_base():
    layers = [nn.Linear(4, 4) for _ in "ab"]
    for layer in layers:
        prune.l1_unstructured(layer, "weight", 0.5)
    stack = SharedStack(layers, share=(0, 0), residuals={"weight_orig": static(rank=1)})
    x = torch.randn(3, 4)
    before = stack[0](x)
    with torch.no_grad():
        stack.bases[0].weight_orig.add_(1.0)
    assert not torch.allclose(stack[0](x), before)
    with pytest.raises(RuntimeError, match="prune or normalise the stages before a stack takes them"):
        spectral_norm(stack.bases[0], "weight_orig")


def test_parameters_of_a_part_that_is_never_called_are_missed_by_what_is_around_it():
    """An attention reads its output layer's parameters."""
    stages = [nn.ModuleDict({"a": nn.MultiheadAttention(4, 2)}) for _ in "ab"]
    stack = SharedStack(stages, share=(0, 0), residuals={"a.out_proj.bias": None})
    x = torch.randn(3, 1, 4)
    with pytest.raises(RuntimeError, match=r"MultiheadAttention was called without out_proj\.bias"):
        stack.stages[0]["a"](x, x, x)


def test_hooks_that_only_look_are_taken():
    seen = []
    stack = stack_of()
    for module in stack.modules():
        module.register_forward_pre_hook(lambda module, args: seen.append(type(module).__name__))
    stack(torch.randn(1, 2, 3))
    assert {"SharedStack", "Stage", "GroupNorm", "Conv1d"} <= set(seen)
