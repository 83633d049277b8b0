"""timm's models as backbones: levels of any architecture, what stays still, their weights, a detector around them."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.optim import build_optim_wrapper
from references.backbones import detector_config, two_images
from references.small import randomise
from torch import Tensor, nn

from lors_det.plugin.backbones import TimmBackbone
from lors_det.plugin.backbones.simple_pyramid import SimplePyramid
from lors_det.plugin.backbones.timm_levels import TimmLevels
from lors_det.plugin.config.keys import check_keys
from lors_det.plugin.config.reading import read_config
from lors_det.reports.config_check import check_config

timm = pytest.importorskip("timm", reason="timm is not installed: the extra `timm` has it")

HIERARCHIES = ["test_convnext", "test_resnet", "mobilenetv3_small_050", "test_efficientnet"]
PLAIN = ["test_vit", "test_vit3"]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Building, loading and running a backbone must not ask for anything."""

    def refuse(*arguments: object, **more: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("name", [*HIERARCHIES, *PLAIN])
def test_levels_have_the_strides_and_every_parameter_has_a_part_in_them(name):
    backbone = randomise(TimmBackbone(name), std=0.05)
    for height, width in ((64, 96), (75, 98)):
        levels = backbone(torch.randn(2, 3, height, width))
        for level, stride, channels in zip(levels, (4, 8, 16, 32), backbone.out_channels):
            assert level.shape[:2] == (2, channels)
            upper = [-(-side // stride) for side in (height, width)]  # ConvNeXt leaves out a rest that fills no patch
            lower = [side // stride for side in (height, width)]
            assert all(low <= have <= up for low, have, up in zip(lower, level.shape[2:], upper))
    sum(level.square().sum() for level in levels).backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_small_patch16_dinov3"])
def test_published_vits_take_pictures_of_any_size(name):
    backbone = TimmBackbone(name, frozen_stages=12).eval()
    assert backbone.out_channels == (96, 192, 384, 384)
    levels = backbone(torch.randn(1, 3, 64, 92))
    assert [level.shape[2:] for level in levels] == [(16, 23), (8, 12), (4, 6), (2, 3)]


def test_places_stay_where_they_are_whatever_the_patch(monkeypatch):
    """With the mean of each patch in the ViT's stead, a level is the picture at its stride."""
    backbone = TimmBackbone("vit_small_patch14_dinov2", img_size=56)
    monkeypatch.setattr(TimmLevels, "read", lambda levels, model, images: [F.avg_pool2d(images, 14)])
    backbone.pyramid.raise_to = nn.ModuleDict({s: nn.Upsample(scale_factor=16 // int(s)) for s in ("4", "8")})
    ramp = torch.linspace(0, 1, 250)[None, None, None, :].expand(1, 3, 130, 250)
    for level, stride in zip(backbone(ramp), (4, 8, 16, 32)):
        centres = (torch.arange(level.shape[3]) + 0.5) * stride
        inside = centres < 208  # what touches the padding is darker
        found = level[0, 0, 1, inside] * 249 + 0.5
        half = 8 if stride < 32 else 16  # the upper of two patches, or that around the place
        assert (found - centres[inside]).abs().max() <= half + 0.5


def test_a_pyramid_has_each_level_from_the_map_alone():
    for stride, channels in ((16, (16, 32, 64, 64)), (8, (32, 64, 64, 64)), (32, (8, 16, 32, 64))):
        pyramid = SimplePyramid(64, stride)
        features = torch.randn(1, 64, 3, 5)
        levels = pyramid(features)
        assert pyramid.out_channels == channels == tuple(level.shape[1] for level in levels)
        for level, wanted in zip(levels, (4, 8, 16, 32)):
            assert level.shape[2:] == tuple(-(-side * stride // wanted) for side in (3, 5))
        assert torch.equal(levels[(4, 8, 16, 32).index(stride)], features)
    pyramid = SimplePyramid(64)
    before = pyramid(features)[0]
    features[..., 2, 4] += 1
    changed = (pyramid(features)[0] != before).any(1)[0].nonzero()
    assert changed.min(0).values.tolist() == [8, 16]  # a place of the map is 4 x 4 of the finest level
    assert changed.max(0).values.tolist() == [11, 19]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(model_name="convnext_tinny"), r"model_name is 'convnext_tinny'; similar names of timm .*: convnext_tiny"),
        (dict(model_name="test_vit.foo"), r"Invalid pretrained tag \(foo\).* timm has test_vit\.r160_in1k"),
        (dict(model_name="shvit_s1"), r"maps have strides \[16, 32, 64\]"),
        (dict(model_name="test_vit_relpos"), "does not run on pictures of 128 x 64 pixels.*choose a model"),
        (dict(out_indices=(0, 1, 2, 4)), r"out_indices is \[0, 1, 2, 4\]; .* of strides \(4, 8, 16, 32\)"),
        (dict(out_indices=(3,)), "out_indices"),
        (dict(model_name="test_vit", out_indices=(6,)), r"out_indices is \[6\]; .* of strides \(16,\)"),
        (dict(frozen_stages=5), "frozen_stages is 5; .* or up to 4"),
        (dict(model_name="test_vit", frozen_stages=7), "frozen_stages is 7; .* or up to 6"),
        (dict(img_size=64), "model.backbone.img_size: timm's test_convnext does not take it"),
    ],
)
def test_what_there_is_not_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        TimmBackbone(**{"model_name": "test_convnext", **changes})


def test_a_tag_chooses_weights_of_the_same_model():
    assert TimmBackbone("test_vit.r160_in1k").out_channels == TimmBackbone("test_vit").out_channels


def test_without_timm_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=re.escape("needs timm: pip install timm")):
        TimmBackbone("test_convnext")


def first_parts(name: str) -> str:
    """``model.stages.0.blocks.1.norm.weight`` to ``stages.0``."""
    return ".".join(name.split(".")[1 : 3 if re.match(r"model\.\w+\.\d", name) else 2])


@pytest.mark.parametrize(
    ("name", "stages", "frozen"),
    [
        ("test_convnext", 0, {"stem.0", "stem.1"}),
        ("test_convnext", 1, {"stem.0", "stem.1", "stages.0"}),
        ("test_convnext", 2, {"stem.0", "stem.1", "stages.0", "stages.1"}),
        ("test_resnet", 1, {"conv1.0", "conv1.1", "conv1.3", "conv1.4", "conv1.6", "bn1", "layer1.0"}),
        ("test_vit", 0, {"cls_token", "pos_embed", "patch_embed"}),
        ("test_vit", 2, {"cls_token", "pos_embed", "patch_embed", "blocks.0", "blocks.1"}),
        ("test_vit", -1, set()),
    ],
)
def test_frozen_stages_are_the_stem_and_the_first_levels_or_blocks(name, stages, frozen):
    backbone = TimmBackbone(name, frozen_stages=stages, norm_eval=False, drop_path_rate=0.5).train()
    assert {first_parts(name) for name, p in backbone.named_parameters() if not p.requires_grad} == frozen
    assert {first_parts(name) for name, p in backbone.named_parameters() if p.requires_grad}.isdisjoint(frozen)
    for part, module in backbone.named_modules():
        if part.startswith("model.") and list(module.parameters()) and "." in part.removeprefix("model."):
            assert module.training != all(not p.requires_grad for p in module.parameters()), part


def test_statistics_stay_unless_asked():
    for norm_eval in (True, False):
        backbone = TimmBackbone("test_resnet", frozen_stages=1, norm_eval=norm_eval).train()
        before = {name: value.clone() for name, value in backbone.state_dict().items() if "running_mean" in name}
        backbone(torch.randn(2, 3, 64, 64))
        moved = {
            first_parts(name) for name, value in before.items() if not torch.equal(value, backbone.state_dict()[name])
        }
        assert moved == (set() if norm_eval else {"layer2.0", "layer3.0", "layer4.0"})


def saved(whole: nn.Module, path: Path) -> Path:
    if path.suffix == ".safetensors":
        torch_files = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
        torch_files.save_file(whole.state_dict(), path)
    else:
        torch.save({"state_dict": whole.state_dict()}, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", [*HIERARCHIES, "test_vit"])
def test_timms_own_file_loads_without_its_classifier(name, suffix, tmp_path):
    whole = randomise(timm.create_model(name), std=0.05).eval()
    init_cfg = dict(type="Pretrained", checkpoint=str(saved(whole, tmp_path / f"whole{suffix}")))
    backbone = TimmBackbone(name, init_cfg=init_cfg).eval()
    images = torch.randn(1, 3, 160, 160)
    before = backbone(images)
    backbone.init_weights()
    expected = whole.forward_intermediates(images, intermediates_only=True, norm=name == "test_vit")[-1]
    found = backbone(images)
    torch.testing.assert_close(found[2 if name == "test_vit" else 3], expected, rtol=1e-5, atol=1e-5)
    assert not any(torch.equal(old, new) for old, new in zip(before, found))


def test_the_authors_file_is_converted_as_timm_does(tmp_path):
    """DINOv2's holds a mask token, and its table of positions is for other sizes."""
    whole = randomise(timm.create_model("test_vit", img_size=160, dynamic_img_size=True))
    torch.save({**whole.state_dict(), "mask_token": torch.zeros(1, 64)}, tmp_path / "dinov2.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "dinov2.pth"))
    backbone = TimmBackbone("test_vit", img_size=96, init_cfg=init_cfg)
    assert backbone.model.pos_embed.shape[1] < whole.pos_embed.shape[1]
    backbone.init_weights()
    assert torch.equal(backbone.model.blocks[5].attn.qkv.weight, whole.blocks[5].attn.qkv.weight)
    torch.testing.assert_close(backbone.model.pos_embed[:, 1:].mean(), whole.pos_embed[:, 1:].mean(), rtol=0, atol=5e-3)


def test_weights_that_do_not_fit_are_named(tmp_path):
    state = timm.create_model("test_convnext2").state_dict()
    torch.save(state, tmp_path / "other.pth")
    backbone = TimmBackbone("test_convnext", init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "other.pth")))
    with pytest.raises(ValueError, match=r"other\.pth \(model\.backbone\.init_cfg\.checkpoint\) are not those of this"):
        backbone.init_weights()
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    backbone.init_cfg["checkpoint"] = str(tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match=r"broken\.safetensors .* cannot be read"):
        backbone.init_weights()


def test_weights_of_the_hub_are_asked_for_in_init_weights_and_their_absence_names_the_remedy(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub.constants", reason="huggingface_hub is not installed")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)  # it would try for most of a minute
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    backbone = TimmBackbone("test_vit", pretrained=True)
    with pytest.raises(ValueError, match=r"cannot be had .* pass --cfg-options .*init_cfg\.checkpoint=/path/to"):
        backbone.init_weights()


@pytest.mark.parametrize("name", ["test_convnext", "test_vit"])
def test_a_step_of_a_detector_moves_every_parameter(name):
    plain = dict(type="TimmBackbone", model_name=name, norm_eval=False)
    channels = list(TimmBackbone(name).out_channels)
    cfg = detector_config(plain, channels)
    check_keys(cfg)
    check_config(cfg)
    model = randomise(MODELS.build(cfg.model), std=0.02).train()
    before = {name: parameter.detach().clone() for name, parameter in model.backbone.named_parameters()}
    losses = model.train_step(two_images(), build_optim_wrapper(model, cfg.optim_wrapper))
    assert torch.isfinite(losses["loss"])
    assert [name for name, p in model.backbone.named_parameters() if torch.equal(p, before[name])] == []


@pytest.mark.parametrize("kind", [dict(type="Pretrained"), {}])
def test_a_file_goes_before_the_hub(tmp_path, kind):
    """Named as a whole, or by ``--cfg-options model.backbone.init_cfg.checkpoint=...`` alone."""
    torch.save(timm.create_model("test_convnext").state_dict(), tmp_path / "own.pth")
    file = dict(**kind, checkpoint=str(tmp_path / "own.pth"))
    backbone = TimmBackbone("test_convnext", pretrained=True, init_cfg=file)
    backbone.init_weights()
    own = torch.load(tmp_path / "own.pth", weights_only=True)
    assert all(torch.equal(weight, own[name]) for name, weight in backbone.model.state_dict().items())


def test_a_detector_loads_its_own_weights_into_one_that_names_no_pretrained_file():
    cfg = detector_config(dict(type="TimmBackbone", model_name="test_vit"), [16, 32, 64, 64])
    trained, fresh = (MODELS.build(cfg.model).eval() for _ in range(2))
    fresh.init_weights()
    fresh.load_state_dict(randomise(trained).state_dict())
    images: Tensor = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(one, other) for one, other in zip(fresh.backbone(images), trained.backbone(images)))


def test_keys_that_nothing_reads_are_refused():
    cfg = detector_config(dict(type="TimmBackbone", model_name="test_vit", depth=3), [16, 32, 64, 64])
    with pytest.raises(ValueError, match=r"model\.backbone\.depth is read by nothing: TimmBackbone"):
        check_keys(cfg)


@pytest.mark.parametrize("decay", [None, 0.8])
def test_a_pyramid_that_is_made_anew_learns_as_what_follows_the_backbone(decay):
    name = "lors_det::finetune/lors-adamixer_dinov2-s_100-query_finetune_own.py"
    options = {
        "model.backbone.init_cfg": None,
        "model.backbone.model_name": "test_vit",
        "model.bbox_head.num_classes": 3,
        **({"optim_wrapper.paramwise_cfg.layer_decay": decay} if decay else {}),
    }
    cfg = read_config(name, options)
    model = MODELS.build(cfg.model)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = {id(each): group["lr"] for group in wrapper.param_groups for each in group["params"]}
    by_name = {name: rates[id(each)] for name, each in model.named_parameters() if id(each) in rates}
    pyramid = {rate for name, rate in by_name.items() if name.startswith("backbone.pyramid.")}
    assert pyramid == {rate for name, rate in by_name.items() if not name.startswith("backbone.")} == {1e-4}
    assert all(rate <= 1e-5 for name, rate in by_name.items() if name.startswith("backbone.model."))
