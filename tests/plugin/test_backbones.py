"""torchvision's models as backbones: their levels, what stays still, their weights, and a detector around them."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torchvision
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from references.backbones import detector_config, two_images
from references.small import randomise
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lors_det.plugin.backbones import TorchvisionBackbone
from lors_det.plugin.config.keys import check_keys
from lors_det.plugin.neck import SharedNormNeck
from lors_det.reports.config_check import check_config

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT.parent / "shared"
WEIGHTS = SHARED / "weights" / "mobilenetv2_imagenet_features.pth"
AQUARIUM = SHARED / "data" / "aquarium"
MEAN, STD = (torch.tensor(values)[:, None, None] for values in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]))


def pretrained(path: Path | str, **more: str) -> dict[str, str]:
    return dict(type="Pretrained", checkpoint=str(path), **more)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"])
def test_levels_are_the_last_maps_of_their_strides(name):
    """Of pictures of any size; a level is what the modules up to it give, whatever those after it do in place."""
    backbone = TorchvisionBackbone(name).eval()
    whole = torchvision.models.get_model(name, weights=None).eval()
    whole.features.load_state_dict(backbone.features.state_dict(), strict=False)
    # in the layout that the backbone computes in: in another one, the same sums are rounded otherwise
    images = torch.randn(2, 3, 75, 98).contiguous(memory_format=torch.channels_last)
    levels = backbone(images)
    for level, stride, channels, place in zip(levels, (4, 8, 16, 32), backbone.out_channels, backbone.out_features):
        assert level.shape == (2, channels, -(-75 // stride), -(-98 // stride))
        torch.testing.assert_close(level, whole.features[: place + 1](images), rtol=0, atol=0)
    following = [whole.features[place + 1](level) for place, level in zip(backbone.out_features[:-1], levels)]
    assert all(after.shape[1:] != level.shape[1:] for after, level in zip(following, levels))


def test_the_layout_of_the_input_changes_nothing():
    backbone = TorchvisionBackbone().double().eval()
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    for level, other in zip(backbone(images), backbone(images.contiguous(memory_format=torch.channels_last))):
        torch.testing.assert_close(level, other, rtol=0, atol=0)


def test_a_level_that_the_next_module_would_change_stays(monkeypatch):
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            steps = [[nn.Conv2d(width, 4, 2, 2), nn.ReLU(inplace=True)] for width in (3, 4, 4, 4, 4)]
            self.features = nn.Sequential(*itertools.chain.from_iterable(steps))

    monkeypatch.setattr(torchvision.models, "get_model", lambda name, weights: Small())
    backbone = TorchvisionBackbone("vgg11", out_features=(2, 4, 6, 8))
    levels = backbone(torch.randn(1, 3, 64, 64))
    assert all(level.min() < 0 for level in levels)
    sum(level.square().sum() for level in levels).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in backbone.parameters())
    assert TorchvisionBackbone("vgg11").out_features == (3, 5, 7, 9)


def test_chosen_levels_leave_out_what_follows():
    backbone = TorchvisionBackbone("mobilenet_v2", out_features=(2, 5, 10, 17))
    assert backbone.out_channels == (24, 32, 64, 320)
    assert len(backbone.features) == 18


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(model_name="mobilnet_v2"), "model_name is 'mobilnet_v2'; similar names of torchvision: mobilenet_v2"),
        (dict(model_name="resnet18"), "has no `features`"),
        (dict(model_name="swin_t"), "no module has stride 4"),
        (dict(out_features=(3, 6, 13, 19)), r"out_features is \[3, 6, 13, 19\]; it must name modules of strides"),
        (dict(out_features=(3, 6, 14, 18)), "out_features"),
        (dict(out_features=(3, 6, 13)), "out_features"),
        (dict(frozen_stages=5), "frozen_stages is 5"),
    ],
)
def test_what_there_is_not_is_named(changes, words):
    with pytest.raises(ValueError, match=words):
        TorchvisionBackbone(**changes)


@pytest.mark.parametrize("frozen_stages", [-1, 0, 1, 4])
@pytest.mark.parametrize("norm_eval", [True, False])
def test_frozen_stages_stay_as_they_are(frozen_stages, norm_eval):
    """Weights and statistics; with norm_eval, statistics alone stay everywhere."""
    backbone = TorchvisionBackbone(frozen_stages=frozen_stages, norm_eval=norm_eval)
    num_frozen = {-1: 0, 0: 1, 1: 4, 4: 19}[frozen_stages]
    randomise(backbone).eval().train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    levels = backbone(torch.randn(2, 3, 64, 64))
    if frozen_stages < 4:
        sum(level.square().mean() for level in levels).backward()
        torch.optim.Adam(backbone.parameters()).step()
    else:
        assert not any(level.requires_grad for level in levels)
    for name, value in backbone.state_dict().items():
        still = int(name.split(".")[1]) < num_frozen or (norm_eval and ("running" in name or "num_batches" in name))
        assert torch.equal(value, before[name]) == still, name
    norms = [module for module in backbone.modules() if isinstance(module, _BatchNorm)]
    assert {norm.training for norm in norms} <= ({False} if norm_eval or frozen_stages == 4 else {True, False})


def test_torchvisions_own_file_loads_without_its_classifier(tmp_path):
    whole = randomise(torchvision.models.mobilenet_v3_small())
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    backbone = TorchvisionBackbone("mobilenet_v3_small", init_cfg=pretrained(tmp_path / "whole.pth"))
    backbone.init_weights()
    images = torch.randn(1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(backbone.eval()(images)[-1], whole.features.eval()(images), rtol=0, atol=0)


def test_a_part_of_a_checkpoint_loads_by_its_prefix(tmp_path):
    trained = randomise(TorchvisionBackbone())
    state = {f"backbone.{name}": value for name, value in trained.state_dict().items()}
    torch.save({"meta": {}, "state_dict": {**state, "neck.weight": torch.zeros(1)}}, tmp_path / "detector.pth")
    backbone = TorchvisionBackbone(init_cfg=pretrained(tmp_path / "detector.pth", prefix="backbone."))
    backbone.init_weights()
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in backbone.state_dict().items())
    wrong = TorchvisionBackbone(init_cfg=pretrained(tmp_path / "detector.pth", prefix="trunk"))
    with pytest.raises(ValueError, match=r"nothing is under .*prefix='trunk'; its names begin with backbone, neck"):
        wrong.init_weights()


def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(tmp_path):
    state = TorchvisionBackbone().state_dict()
    changed = {name: value + 1 for name, value in state.items() if not name.startswith("features.5.")}
    changed["features.0.0.weight"] = torch.zeros(32, 1, 3, 3)
    torch.save(changed, tmp_path / "part.pth")
    backbone = TorchvisionBackbone(init_cfg=pretrained(tmp_path / "part.pth"))
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=r"15 missing: features\.5\..*1 of another shape: features\.0\.0\.weight"):
        backbone.init_weights()
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    with pytest.raises(ValueError, match="does not exist"):
        TorchvisionBackbone(init_cfg=pretrained(tmp_path / "absent.pth")).init_weights()
    with pytest.raises(ValueError, match=r"init_cfg is .*Kaiming"):
        TorchvisionBackbone(init_cfg=dict(type="Kaiming")).init_weights()


def test_counts_of_batches_may_be_missing(tmp_path):
    """Files from before torch kept them do not have them."""
    state = {name: value for name, value in TorchvisionBackbone().state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "old.pth")
    backbone = TorchvisionBackbone(init_cfg=pretrained(tmp_path / "old.pth"))
    backbone.init_weights()
    assert all(torch.equal(backbone.state_dict()[name], value) for name, value in state.items())


def test_a_neck_that_does_not_fit_names_the_channels():
    neck = SharedNormNeck([24, 32, 96, 320], 16, num_norm_groups=4)
    with pytest.raises(ValueError, match=r"model\.neck\.in_channels is .*; set it to \[24, 32, 96, 1280\]"):
        neck(TorchvisionBackbone()(torch.zeros(1, 3, 64, 64)))


def test_the_base_config_fits_together():
    model = Config.fromfile(ROOT / "configs" / "_base_" / "model_mobilenetv2.py").model
    assert model.backbone.init_cfg == pretrained("torchvision://mobilenet_v2")
    model.backbone.init_cfg = None
    backbone, neck = MODELS.build(model.backbone), MODELS.build(model.neck)
    levels = neck(backbone(torch.zeros(1, 3, 64, 64)))
    assert [level.shape[1] for level in levels] == [96] * 4


def test_a_step_of_a_detector_moves_every_parameter_that_may():
    cfg = detector_config(dict(type="TorchvisionBackbone", frozen_stages=1), [24, 32, 96, 1280])
    check_keys(cfg)
    check_config(cfg)
    model = MODELS.build(cfg.model).train()
    randomise(model.bbox_head, std=0.02)
    before = {name: parameter.detach().clone() for name, parameter in model.backbone.named_parameters()}
    losses = model.train_step(two_images(), build_optim_wrapper(model, cfg.optim_wrapper))
    assert torch.isfinite(losses["loss"])
    for name, parameter in model.backbone.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name
        assert parameter.requires_grad != name.startswith(("features.0.", "features.1.", "features.2.", "features.3."))


def test_keys_that_nothing_reads_are_refused():
    cfg = detector_config(dict(type="TorchvisionBackbone", frozen_stage=1), [24, 32, 96, 1280])
    with pytest.raises(ValueError, match=r"model\.backbone\.frozen_stage is read by nothing: TorchvisionBackbone"):
        check_keys(cfg)


def crops(split: str, every: int) -> tuple[Tensor, np.ndarray]:
    """One object of each class in every so many pictures, 96 x 96, as the preprocessor gives them; and the classes."""
    pictures, labels = [], []
    for path in sorted((AQUARIUM / split / "images").glob("*.jpg"))[::every]:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        lines = (AQUARIUM / split / "labels" / f"{path.stem}.txt").read_text().splitlines()
        first = {line.split()[0]: line for line in reversed(lines)}
        for label, line in first.items():
            centre, extent = np.array(line.split()[1:], dtype=float).reshape(2, 2) * image.shape[1::-1]
            (left, top), (right, bottom) = np.maximum([centre - extent / 2, centre + extent / 2], 0).astype(int)
            if min(extent) >= 24:
                crop = cv2.resize(image[top:bottom, left:right], (96, 96), interpolation=cv2.INTER_AREA)
                pictures.append(torch.from_numpy(crop).permute(2, 0, 1))
                labels.append(int(label))
    return (torch.stack(pictures).float() - MEAN) / STD, np.array(labels)


def nearest_is_right(backbone: TorchvisionBackbone, known: tuple, asked: tuple) -> float:
    """Share of crops whose nearest among the known, by the cosine of the last level's means, is of their class."""
    features = []
    with torch.inference_mode():
        for pictures, _ in (known, asked):
            levels = torch.cat([backbone(batch)[-1].mean((2, 3)) for batch in pictures.split(32)])
            features.append(nn.functional.normalize(levels, dim=1))
    nearest = (features[1] @ features[0].T).argmax(1).numpy()
    return float((known[1][nearest] == asked[1]).mean())


@pytest.mark.skipif(not WEIGHTS.is_file(), reason=f"no ImageNet weights at {WEIGHTS}")
def test_imagenet_weights_load_whole():
    backbone = TorchvisionBackbone(init_cfg=pretrained(WEIGHTS))
    backbone.init_weights()
    stored = torch.load(WEIGHTS, weights_only=True)
    assert stored.keys() == backbone.state_dict().keys()
    assert all(torch.equal(value, stored[name]) for name, value in backbone.state_dict().items())


@pytest.mark.skipif(
    not (WEIGHTS.is_file() and AQUARIUM.is_dir()), reason=f"no ImageNet weights or no aquarium in {SHARED}"
)
def test_features_of_imagenet_tell_classes_apart():
    """Better by far than the most frequent class and than random weights; a wrong preprocessing or name would show."""
    known, asked = crops("train", every=3), crops("valid", every=2)
    backbone = TorchvisionBackbone(init_cfg=pretrained(WEIGHTS)).eval()
    by_chance = nearest_is_right(backbone, known, asked)
    backbone.init_weights()
    trained = nearest_is_right(backbone, known, asked)
    majority = float(np.bincount(asked[1]).max() / len(asked[1]))
    found = f"{len(known[1])} known, {len(asked[1])} asked: {trained:.3f}, {by_chance:.3f} by random weights"
    assert trained > by_chance + 0.15, found
    assert trained > majority + 0.15, f"{found}; most frequent class {majority:.3f}"
