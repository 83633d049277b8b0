"""Norms that are multiplied into convolutions change no output and no gradient; what cannot be folded is refused."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.runner import runner
from torch import Tensor, nn
from torch.nn.utils import prune

from lors_det.errors import InputError
from lors_det.plugin.activation_checkpointing import turn_on_activation_checkpointing
from lors_det.plugin.norm_folding import check_efficient_conv_bn_eval, turn_on_efficient_conv_bn_eval

RESNET = dict(type="mmdet.ResNet", depth=18, base_channels=8, stem_channels=8, frozen_stages=1, norm_eval=True)
MOBILENET = dict(type="TorchvisionBackbone", model_name="mobilenet_v2", frozen_stages=0)
EFFICIENTNET = dict(type="TorchvisionBackbone", model_name="efficientnet_b0")


class Detector(nn.Module):
    """A model with a backbone whose norms have seen data."""

    def __init__(self, **backbone: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = MODELS.build(backbone)
        self.double().train()
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean, 0, 0.3)
                nn.init.uniform_(part.running_var, 0.5, 2)
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.3)


def levels_and_gradients(model: Detector) -> tuple[list[Tensor], dict[str, Tensor | None]]:
    torch.manual_seed(1)
    images = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    torch.manual_seed(2)  # of stochastic depth
    levels = list(model.backbone(images))
    model.zero_grad(set_to_none=True)
    sum(level.sin().sum() for level in levels).backward()
    return levels, {name: parameter.grad for name, parameter in model.named_parameters()}


def kept_bytes(model: Detector) -> int:
    """What one forward pass keeps for the backward pass, less parameters."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        levels = model.backbone(torch.randn(2, 3, 192, 256, dtype=torch.float64))
    assert len(levels) == 4
    return sum(kept.values())


@pytest.mark.parametrize("backbone", [RESNET, MOBILENET, EFFICIENTNET], ids=lambda backbone: backbone["type"])
@pytest.mark.parametrize("recomputed", [(), ("backbone",)])
def test_outputs_and_gradients_are_those_of_norms(backbone, recomputed):
    plain = Detector(**backbone)
    folded = deepcopy(plain)
    runner.turn_on_efficient_conv_bn_eval(folded, "backbone")
    turn_on_activation_checkpointing(folded, recomputed)
    for mode in (True, False):
        plain.train(mode)
        folded.train(mode)
        (expected, expected_gradients), (found, gradients) = map(levels_and_gradients, (plain, folded))
        for level, own in zip(expected, found):
            torch.testing.assert_close(own, level, rtol=1e-9, atol=1e-9)
        assert gradients.keys() == expected_gradients.keys()
        for name, gradient in expected_gradients.items():
            if gradient is None:
                assert gradients[name] is None, name
            else:
                torch.testing.assert_close(gradients[name], gradient, rtol=1e-8, atol=1e-8, msg=name)
    assert folded.state_dict().keys() == plain.state_dict().keys()


def test_less_is_kept():
    plain = Detector(**MOBILENET)
    folded = deepcopy(plain)
    turn_on_efficient_conv_bn_eval(folded, ["backbone"])
    assert kept_bytes(folded) < 0.75 * kept_bytes(plain)


def test_what_is_recomputed_stays_so():
    """In the runner's order, which turns on activation checkpointing first."""
    plain = Detector(**RESNET)
    both = deepcopy(plain)
    turn_on_activation_checkpointing(both, ["backbone"])
    recomputed = kept_bytes(both)
    turn_on_efficient_conv_bn_eval(both, "backbone")
    assert kept_bytes(both) == recomputed < kept_bytes(plain)


def test_a_deep_copy_computes_with_its_own_weights():
    model = Detector(**RESNET)
    turn_on_efficient_conv_bn_eval(model, "backbone")
    copied = deepcopy(model)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert not any(level.any() for level in levels_and_gradients(copied)[0])
    assert all(level.any() for level in levels_and_gradients(model)[0])


def test_norms_that_learn_their_statistics_do_so():
    """Where others of the same module keep theirs, as those of frozen stages do."""
    plain = Detector(**{**RESNET, "norm_eval": False, "frozen_stages": 2})
    folded = deepcopy(plain)
    turn_on_efficient_conv_bn_eval(folded, "backbone")
    for model in (plain, folded):
        model.backbone.train()
        levels_and_gradients(model)
    for (name, value), own in zip(plain.named_buffers(), folded.buffers()):
        torch.testing.assert_close(own, value, rtol=1e-9, atol=1e-9, msg=name)
    assert folded.backbone.layer4[1].bn2.num_batches_tracked == 1
    assert folded.backbone.bn1.num_batches_tracked == 0


class ActivatedNorm(nn.BatchNorm2d):
    """As timm has: what follows the norm is inside of it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


class PaddedConvolution(nn.Conv2d):
    """What its input needs is inside of it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, (0, 1, 0, 1)))


class TwoWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3).eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + (0 if self.training else 1)


class OwnWay(TwoWays):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) if x.sum() > 0 else x


class Masked(TwoWays):
    """What it computes depends on an argument that calls may leave out."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.norm(self.conv(x))
        return x if mask is None else x * mask


def still(*parts: nn.Module) -> nn.Sequential:
    """A sequence whose norms keep their statistics whatever mode it is set to."""
    sequence = nn.Sequential(*parts)
    for part in parts:
        part.train = lambda mode=True, part=part: part
        part.training = False
    return sequence


def test_kinds_that_are_derived_stay_as_they_are():
    torch.manual_seed(0)
    model = nn.Module()
    model.part = still(
        nn.Conv2d(3, 4, 1), ActivatedNorm(4), PaddedConvolution(4, 4, 2), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4),
    )  # fmt: skip
    for norm in (1, 3, 5):
        nn.init.uniform_(model.part[norm].running_var, 0.5, 2)
        nn.init.normal_(model.part[norm].running_mean)
    images = torch.randn(1, 3, 5, 5)
    expected = model.part(images)
    turn_on_efficient_conv_bn_eval(model, "part")
    torch.testing.assert_close(model.part(images), expected)
    assert model.part.forward.__self__.code.count("efficient_conv_bn_eval_control(") == 1


def test_what_a_hook_changes_stays_so():
    """As the classic weight norm and pruning set weights before each call."""
    torch.manual_seed(0)
    model = nn.Module()
    model.part = still(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4),
    )  # fmt: skip
    prune.random_unstructured(model.part[0], "weight", 0.5)
    model.part[3].register_forward_hook(lambda module, given, result: 2 * result)
    turn_on_efficient_conv_bn_eval(model, "part")
    images = torch.randn(1, 3, 5, 5)
    with torch.no_grad():
        model.part[0].weight_orig.mul_(3)
        expected = nn.Sequential(*model.part)(images)
    torch.testing.assert_close(model.part(images), expected)
    assert model.part.forward.__self__.code.count("efficient_conv_bn_eval_control(") == 1


def test_an_argument_that_is_left_out_is_so():
    model = nn.Module()
    model.part = still(Masked())[0]
    images = torch.randn(1, 3, 5, 5)
    expected = model.part(images)
    turn_on_efficient_conv_bn_eval(model, "part")
    torch.testing.assert_close(model.part(images), expected)
    torch.testing.assert_close(model.part(images, None), expected)
    with pytest.raises(AssertionError, match="mask has been specialized"):
        model.part(images, images)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), "no BatchNorm that keeps its statistics in training"),
        (still(nn.Conv2d(3, 3, 1), ActivatedNorm(3)), "no BatchNorm that keeps its statistics in training"),
        (still(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)), "no BatchNorm that keeps its statistics in training"),
        (nn.Conv2d(3, 3, 1), "no BatchNorm that keeps its statistics in training"),
        (TwoWays(), "takes another way in training than after; drop it"),
        (OwnWay(), "torch.fx cannot write down what it computes"),
    ],
)
def test_what_cannot_be_folded_is_named(part, words):
    model = nn.Module()
    model.part = part
    modes = [module.training for module in model.modules()]
    with pytest.raises(InputError, match=f"config key efficient_conv_bn_eval names part, .*{words}"):
        check_efficient_conv_bn_eval("part", model, recomputed=None)
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize(
    ("names", "recomputed", "words"),
    [
        ("", None, "names '', which is no module$"),
        ("backbne", None, "names 'backbne', which is no module; backbone is"),
        (
            ["backbone.layer1", "backbone"],
            None,
            "names backbone, and backbone.layer1 inside of it; drop backbone.layer1",
        ),
        (3, None, "is 3; it must be the name of a module, or a list of them"),
        ("backbone", ["backbone.layer1"], "name backbone and backbone.layer1 inside of it; name backbone in both"),
    ],
)
def test_wrong_names_are_named(names, recomputed, words):
    with pytest.raises(InputError, match=words):
        check_efficient_conv_bn_eval(names, Detector(**RESNET), recomputed=recomputed)


def test_right_names_pass():
    model = Detector(**RESNET)
    check_efficient_conv_bn_eval(None, model, recomputed=["backbone.layer1"])
    check_efficient_conv_bn_eval("backbone.layer1", model, recomputed="backbone")
    assert "forward" not in vars(model.backbone)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("name", ["backbone", "backbone.layer2.0"])
def test_recomputed_statistics_learn_of_a_batch_once(name, folded):
    """With the second pass they would take a second step of their momentum."""
    kept, recomputed = (Detector(**{**RESNET, "norm_eval": False, "frozen_stages": 1}) for _ in range(2))
    turn_on_activation_checkpointing(recomputed, name)
    if folded:
        for model in (kept, recomputed):
            model.backbone.layer2[0].bn1.eval()
            model.train = lambda _, model=model: model  # so that this one stays still, and may be folded
            turn_on_efficient_conv_bn_eval(model, name)
    before = {key: value.clone() for key, value in recomputed.named_buffers()}
    (_, expected), (_, found) = levels_and_gradients(kept), levels_and_gradients(recomputed)
    after = dict(recomputed.named_buffers())
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert {"backbone.layer2.0.bn2.running_var", "backbone.layer4.1.bn2.num_batches_tracked"} <= moved
    for key, buffer in kept.named_buffers():
        torch.testing.assert_close(after[key], buffer, rtol=1e-9, atol=1e-12, msg=key)
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-9, atol=1e-12, msg=key)
    assert {norm.momentum for norm in recomputed.modules() if isinstance(norm, nn.BatchNorm2d)} == {0.1}
