"""Learning rates that fall towards the picture: of which parameter, by how much, and beside the other rules."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.optim import MultiStepLR, OptimWrapper, build_optim_wrapper
from references.backbones import detector_config
from torch import nn

from lors_det.plugin.config.keys import check_keys
from lors_det.plugin.layer_decay import backbone_depths, layer_scales

SWIN = dict(
    type="SwinTransformer", embed_dims=8, depths=(2, 2, 3, 1), num_heads=(1, 1, 1, 1), window_size=4, out_indices=(0, 3)
)
DEPTHS = {  # K, and some parameters with their k
    "mobilenet": (
        dict(type="TorchvisionBackbone"),
        19,
        {"features.0.0.weight": 0, "features.7.conv.0.1.bias": 7, "features.18.1.weight": 18},
    ),
    "resnet": (
        dict(type="ResNet", depth=18, base_channels=8),
        9,
        {"conv1.weight": 0, "bn1.bias": 0, "layer1.0.conv1.weight": 1, "layer1.1.bn2.weight": 2, "layer4.1.bn1.bias": 8}
        | {"layer3.0.downsample.0.weight": 5, "layer3.0.conv2.weight": 5},
    ),
    "swin": (
        SWIN,
        9,
        {
            "patch_embed.projection.weight": 0,
            "stages.0.blocks.0.norm1.weight": 1,
            "stages.0.blocks.1.ffn.layers.1.bias": 2,
        }
        | {"stages.0.downsample.reduction.weight": 3, "stages.1.blocks.0.attn.w_msa.qkv.weight": 3}
        | {"stages.2.blocks.2.norm2.bias": 7, "stages.3.blocks.0.norm1.weight": 8, "norm0.weight": 9, "norm3.bias": 9},
    ),
    "other": (
        dict(type="RegNet", arch="regnetx_400mf", base_channels=8),
        23,
        {"conv1.weight": 0, "layer1.0.conv1.weight": 1, "layer4.11.conv1.weight": 22},
    ),
}
TIMM_DEPTHS = {
    "vit": (
        dict(type="TimmBackbone", model_name="test_vit"),
        7,
        {"model.pos_embed": 0, "model.patch_embed.proj.weight": 0, "model.blocks.0.norm1.weight": 1}
        | {"model.blocks.5.mlp.fc2.bias": 6, "model.norm.weight": 6, "pyramid.raise_to.4.0.weight": 7},
    ),
    "convnext": (
        dict(type="TimmBackbone", model_name="test_convnext"),
        10,
        {"model.stem.0.weight": 0, "model.stages.0.blocks.0.gamma": 1, "model.stages.3.blocks.1.mlp.fc1.weight": 9},
    ),
}


class Detector(nn.Module):
    """A backbone, and what follows it."""

    def __init__(self, backbone: dict[str, Any]) -> None:
        super().__init__()
        self.backbone = MODELS.build(dict(backbone))
        self.neck = nn.Linear(4, 4)


def config(**paramwise: Any) -> ConfigDict:
    return ConfigDict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=0.01, weight_decay=0.1),
        constructor="MergedOptimWrapperConstructor",
        paramwise_cfg=paramwise,
    )


def settings(model: nn.Module, wrapper: OptimWrapper) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay by name; a parameter must be in one group."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    found = [(names[id(p)], (group["lr"], group["weight_decay"])) for group in groups for p in group["params"]]
    assert len(found) == len(dict(found))
    return dict(found)


def check(backbone: dict[str, Any], num_layers: int, depths: dict[str, int]) -> None:
    model = Detector(backbone)
    wrapper = build_optim_wrapper(model, config(layer_decay=0.5))
    rates = {name: rate for name, (rate, _) in settings(model, wrapper).items()}
    assert rates.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, depth in depths.items():
        assert rates[f"backbone.{name}"] == 0.01 * 0.5 ** (num_layers - depth), name
    assert rates["neck.weight"] == rates["neck.bias"] == 0.01
    of_layers = {0.01 * 0.5**number for number in range(num_layers + 1)}
    assert set(rates.values()) == of_layers
    assert len(wrapper.optimizer.param_groups) == len(of_layers)


@pytest.mark.parametrize("name", DEPTHS)
def test_each_layer_has_the_rate_of_its_depth(name):
    check(*DEPTHS[name])


@pytest.mark.parametrize("name", TIMM_DEPTHS)
def test_each_layer_of_timm_has_the_rate_of_its_depth(name):
    pytest.importorskip("timm", reason="timm is not installed: the extra `timm` has it")
    check(*TIMM_DEPTHS[name])


def test_of_an_unknown_backbone_each_child_is_a_layer():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(2))
            self.stem, self.pool = nn.Conv2d(3, 4, 3), nn.MaxPool2d(2)
            self.body = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))

    depths, num_layers = backbone_depths(Own())
    assert num_layers == 2
    assert depths == {"table": 0, "stem.weight": 0, "stem.bias": 0} | {
        f"body.{place}.{kind}": 1 for place in (0, 1) for kind in ("weight", "bias")
    }


def test_a_list_of_layers_is_no_layer():
    """As mmdet's EfficientNet and PyramidVisionTransformerV2 keep theirs."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(3))

    assert backbone_depths(Own()) == ({f"layers.{depth}.weight": depth for depth in range(3)}, 3)


def test_it_multiplies_what_the_other_keys_give():
    model = Detector(DEPTHS["resnet"][0])
    keys = {"layer2": dict(lr_mult=0.1), "neck": dict(lr_mult=3.0, decay_mult=0.5)}
    paramwise = dict(custom_keys=keys, norm_decay_mult=0.0, bias_lr_mult=2.0)
    plain = settings(model, build_optim_wrapper(model, config(**paramwise)))
    decayed = settings(model, build_optim_wrapper(model, config(**paramwise, layer_decay=0.8)))
    depths, num_layers = backbone_depths(model.backbone)
    for name, (rate, decay) in decayed.items():
        depth = depths.get(name.removeprefix("backbone."), num_layers)
        assert rate == pytest.approx(plain[name][0] * 0.8 ** (num_layers - depth), rel=1e-12)
        assert decay == plain[name][1]
    assert decayed["neck.weight"] == (0.01 * 3.0, 0.1 * 0.5)
    assert decayed["backbone.bn1.weight"][1] == 0


def test_frozen_layers_count_and_are_left_out():
    """So that a rate does not change with what is frozen below it."""
    free, frozen = (Detector({**DEPTHS["resnet"][0], "frozen_stages": stages}) for stages in (-1, 2))
    every, some = (settings(model, build_optim_wrapper(model, config(layer_decay=0.7))) for model in (free, frozen))
    assert {name.split(".")[1] for name in every.keys() - some.keys()} == {"conv1", "bn1", "layer1", "layer2"}
    assert some == {name: every[name] for name in some}


def test_one_changes_nothing():
    model = Detector(DEPTHS["resnet"][0])
    assert len(build_optim_wrapper(model, config(layer_decay=1.0)).optimizer.param_groups) == 1


def test_a_run_goes_on_from_its_state():
    """Rates, moments and the schedule: the steps after a stop are those without one."""
    torch.manual_seed(0)
    whole = Detector(DEPTHS["resnet"][0])
    images = torch.randn(2, 3, 32, 32)

    def run(model: nn.Module, state: dict[str, Any] | None, steps: int) -> dict[str, Any]:
        wrapper = build_optim_wrapper(model, config(layer_decay=0.5))
        schedule = MultiStepLR(wrapper, milestones=[3], gamma=0.1)
        if state:
            wrapper.load_state_dict(state["optimizer"])
            schedule.load_state_dict(state["schedule"])
        for _ in range(steps):
            wrapper.update_params(sum(level.square().mean() for level in model.backbone(images)))
            schedule.step()
        return copy.deepcopy({"optimizer": wrapper.state_dict(), "schedule": schedule.state_dict()})

    parted = copy.deepcopy(whole)
    run(whole, None, 5)
    state = run(parted, None, 2)
    resumed = copy.deepcopy(parted)
    run(resumed, state, 3)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), resumed.parameters()))
    assert not torch.equal(parted.backbone.conv1.weight, resumed.backbone.conv1.weight)


@pytest.mark.parametrize("decay", [0.0, 1.5, -0.1, True, "0.8"])
def test_what_is_no_decay_is_refused(decay):
    with pytest.raises(ValueError, match=r"paramwise_cfg\.layer_decay is .*; it must be above 0, and at most 1"):
        build_optim_wrapper(Detector(DEPTHS["resnet"][0]), config(layer_decay=decay))


def test_a_backbone_of_one_layer_is_refused():
    with pytest.raises(ValueError, match=r"the layers of Linear are not told apart, .* a method parameter_depths\(\)"):
        layer_scales(nn.ModuleDict({"backbone": nn.Linear(2, 2)}), 0.5)


def test_a_model_without_a_backbone_is_refused():
    with pytest.raises(ValueError, match="Linear has no backbone"):
        build_optim_wrapper(nn.Linear(2, 2), config(layer_decay=0.5))


def test_configs_may_set_it_with_the_constructor_that_reads_it():
    cfg = detector_config(dict(type="TorchvisionBackbone"), [24, 32, 96, 1280])
    cfg.optim_wrapper.constructor = "MergedOptimWrapperConstructor"
    cfg.optim_wrapper.paramwise_cfg = ConfigDict(layer_decay=0.8)
    check_keys(cfg)
    cfg.optim_wrapper.paramwise_cfg = ConfigDict(layer_decays=0.8)
    with pytest.raises(ValueError, match=r"paramwise_cfg\.layer_decays is read by nothing.*layer_decay"):
        check_keys(cfg)
    cfg.optim_wrapper.paramwise_cfg = ConfigDict(layer_decay=0.8)
    cfg.optim_wrapper.pop("constructor")
    with pytest.raises(ValueError, match=r"paramwise_cfg\.layer_decay is read by nothing"):
        check_keys(cfg)
