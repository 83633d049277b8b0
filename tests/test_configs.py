"""Every leaf config builds, and is what its name says."""

from __future__ import annotations

import copy
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import nn
from torch.overrides import TorchFunctionMode

from lors_det.adamixer import Decoder
from lors_det.adamixer.published import ADAMIXER, ADAMIXER_G2_P64, LORS
from lors_det.adamixer.spec import DecoderSpec
from lors_det.lors import AdaptiveResidual, StaticResidual
from lors_det.plugin.config.reading import load_config
from lors_det.plugin.mmcv_ops import shapes_alone

CONFIGS = Path(__file__).parent.parent / "configs"
LEAVES = sorted(path for path in CONFIGS.rglob("*.py") if path.parent.name != "_base_")
BACKBONES = {
    "r18-half": dict(type="ResNet", depth=18, base_channels=32),
    "mobilenetv2": dict(type="TorchvisionBackbone", model_name="mobilenet_v2"),
    "convnext-tiny": dict(type="TimmBackbone", model_name="convnext_tiny"),
    "dinov2-s": dict(type="TimmBackbone", model_name="vit_small_patch14_dinov2"),
    "r50": dict(type="ResNet", depth=50),
    "r101": dict(type="ResNet", depth=101),
    "x101-32x4d-dcn": dict(
        type="ResNeXt", depth=101, groups=32, base_width=4, stage_with_dcn=(False, True, True, True)
    ),
    "swin-s": dict(type="SwinTransformer", embed_dims=96, depths=[2, 2, 18, 2], drop_path_rate=0.2),
}
SMALL = {"r18-half", "mobilenetv2"}
"""Backbones whose decoders are small: four stages of width 96."""
LORS_SHAPE = {
    "coco": (2, 64),
    "shapes": (4, 9),
    "crowded": (4, 9),
    "bccd": (4, 9),
    "aquarium": (4, 9),
    "own": (4, 9),
}  # G and P by data set
ADAMIXER_SHAPES = {
    "adamixer": {**LORS_SHAPE, "coco": (4, 32)},
    "adamixer-g2-p64": {"coco": (2, 64)},
    "adamixer-g8-p5": {"shapes": (8, 5), "bccd": (8, 5)},
}
ABLATIONS = {  # what each does to LORS, in terms of the facts below
    "shared-only": {"adaptive": False, "static": False},
    "private-only": {"num_bases": 0},
    "static-only": {"adaptive": False},
    "adaptive-only": {"static": False},
    "r2": {"adaptive_rank": 2},
    "r8": {"adaptive_rank": 8},
    "r32": {"adaptive_rank": 32},
    "static-r16": {"static_rank": 16},
    "k-constant": {"trend": "constant"},
    "k-falling": {"trend": "falling"},
    "2-stages": {"num_stages": 2},
    "3-stages": {"num_stages": 3},
    "6-stages": {"num_stages": 6},
    "9-stages": {"num_stages": 9},
    "grouped": {"num_bases": "half"},
    "out-linear": {"out_init": "linear"},
    "out-xavier": {"out_init": "xavier"},
    "factors-matrix": {"factor_init": "matrix"},
    "plus": {"layers": True},
}
STUDIES = {  # backbone, queries and schedule that all ablations of a folder have
    "coco": ("r50", "100-query", "1x"),
    "shapes": ("r18-half", "16-query", "3e"),
    "bccd": ("r18-half", "50-query", "30e"),
    "aquarium": ("mobilenetv2", "100-query", "12e"),
}
BY_FOLDER = {"ablations", "studies"}
PARTS = {"_first-third": 1, "_last-two-thirds": 2}
"""Thirds of a training that is made in two."""
GIVEN = {"aquarium": "own"}
"""Sets that ``--data`` gives."""
FEW = {"shared-only", "private-only"}
"""The ablations on photographs, for which each seed takes a quarter of an hour."""

MILESTONES = {"1x": [8, 11], "crop-ms-480-800-3x": [24, 33], "ms-480-800-3x": [27, 33]}
FLIPS = {  # in training
    "coco": {"horizontal"},
    "own": {"horizontal"},
    "shapes": {"horizontal", "vertical"},
    "crowded": {"horizontal", "vertical"},
    "bccd": {"horizontal", "vertical", "diagonal"},
    "aquarium": {"horizontal"},
}


class Name(NamedTuple):
    """What a leaf's name says; that of an ablation or a study is told by its folder."""

    algorithm: str
    backbone: str
    queries: str
    schedule: str
    dataset: str


def name_of(path: Path) -> Name:
    if path.parent.parent.name not in BY_FOLDER:
        return Name(*path.stem.split("_"))
    stem = path.stem.split("_")[0]  # in studies, what follows is the recipe
    change = "" if stem == "lors" else f"-{stem}"
    algorithm = stem if stem.startswith("adamixer") else f"lors-adamixer{change}"
    backbone, queries, schedule = STUDIES[path.parent.name]
    thirds = next((thirds for part, thirds in PARTS.items() if path.stem.endswith(part)), 3)
    return Name(algorithm, backbone, queries, f"{int(schedule[:-1]) * thirds // 3}{schedule[-1]}", path.parent.name)


def identity(path: Path) -> str:
    """A leaf in the tests' names."""
    return path.relative_to(CONFIGS).with_suffix("").as_posix()


FAMILIES = [path for path in LEAVES if path.parent.parent.name not in BY_FOLDER]
RUN_FORWARD = {(path.parent, *name_of(path)[:2]): path for path in FAMILIES}.values()
"""One leaf for each algorithm and backbone of a family."""


def epochs(schedule: str) -> int | None:
    """Of "1x", "crop-ms-480-800-3x" or "5e"; None of "finetune", which the data choose."""
    if schedule == "finetune":
        return None
    number, unit = re.search(r"(\d+)([ex])$", schedule).groups()
    return int(number) * (12 if unit == "x" else 1)


@pytest.fixture(autouse=True)
def _without_data(monkeypatch, tmp_path) -> None:
    """Where no data is, a model may have any number of classes."""
    monkeypatch.chdir(tmp_path)


@cache
def loaded(path: Path) -> Config:
    """A leaf's config, to be read only."""
    return load_config(path, {"model.bbox_head.num_classes": 80}, "work_dir")


class WithRanges(TorchFunctionMode):
    """Lets ``torch.linspace`` have values, which Swin and timm's models read while they are built."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **{**(kwargs or {}), **({"device": "cpu"} if func is torch.linspace else {})})


def built(cfg: Config) -> nn.Module:
    """A config's model without values: shapes are all that a name speaks of."""
    model = copy.deepcopy(cfg.model)
    model.backbone.init_cfg = None  # no download
    with torch.device("meta"), WithRanges():
        return MODELS.build(model)


def sized(steps: Any) -> Any:
    """A pipeline with an image side where it leaves it to the data."""
    if isinstance(steps, dict):
        return {
            name: (320, 320) if name in ("scale", "crop_size") and not step else sized(step)
            for name, step in steps.items()
        }
    return [sized(step) for step in steps] if isinstance(steps, list) else steps


def check_pipeline(pipeline: list[dict], *, crop: bool) -> None:
    """It takes an image file to a network input; crops, where they happen, leave smaller and other shapes."""
    pipeline = sized(pipeline)
    cv2.imwrite("image.png", np.random.default_rng(0).integers(0, 255, (120, 200, 3), np.uint8))
    info = dict(img_path="image.png", img_id=0, height=120, width=200)
    info["instances"] = [dict(bbox=[20.0, 10.0, 150.0, 100.0], bbox_label=0, ignore_flag=0)]
    shapes = {tuple(Compose(pipeline)(info)["inputs"].shape[1:]) for _ in range(12 if crop else 1)}
    assert all(min(shape) >= 72 and max(shape) <= 1333 for shape in shapes)
    assert not crop or len({round(height / width, 1) for height, width in shapes}) > 1


@pytest.fixture(scope="module")
def passed() -> set[str]:
    """Pipelines that :func:`check_pipeline` has found good: most leaves have the same."""
    return set()


def facts(decoder: Decoder) -> dict[str, object]:
    """What a decoder is, read from its modules and not from its config."""
    stack = decoder.stack
    kinds = [dict(tree.named_modules()) for tree in stack.residuals]
    adaptive = [kind["mixing.channel"] for kind in kinds if isinstance(kind.get("mixing.channel"), AdaptiveResidual)]
    static = [kind["mixing.out.weight"] for kind in kinds if isinstance(kind.get("mixing.out.weight"), StaticResidual)]
    found = {"num_stages": len(stack), "num_bases": len(stack.bases), "adaptive": False, "static": False}
    found["layers"] = isinstance(kinds[0].get("attention.qkv.weight"), StaticResidual)
    found["out_init"] = stack[0].mixing.out_init if stack.bases else None
    if len(adaptive) == len(stack):
        groups = [residual.left.shape[1] for residual in adaptive]
        ends = groups[-1] - groups[0]
        trend = "rising" if ends > 0 else "falling" if ends < 0 else "constant"
        assert groups == sorted(groups, reverse=trend == "falling")
        found |= {"adaptive": True, "adaptive_rank": adaptive[0].left.shape[3], "trend": trend}
        found["factor_init"] = adaptive[0].factor_init
    if len(static) == len(stack):
        found |= {"static": True, "static_rank": static[0].down.shape[0]}
    return found


def expected_facts(algorithm: str, *, full: bool) -> dict[str, object]:
    """Of LORS, of published size or small, or of LORS with the one change that the name states."""
    lors = {
        "num_stages": 6 if full else 4,
        "num_bases": 1,
        "adaptive": True,
        "adaptive_rank": 16 if full else 4,
        "trend": "rising",
        "factor_init": "stacked",
        "static": True,
        "static_rank": 8,
        "layers": False,
        "out_init": "linear" if full else "xavier",
    }
    expected = {**lors, **ABLATIONS.get(algorithm.removeprefix("lors-adamixer").lstrip("-"), {})}
    if expected["num_bases"] == "half":
        expected["num_bases"] = expected["num_stages"] // 2
    if not expected["num_bases"]:
        expected["out_init"] = None
    for kind, details in (("adaptive", ("adaptive_rank", "trend", "factor_init")), ("static", ("static_rank",))):
        if not expected[kind]:
            expected = {name: value for name, value in expected.items() if name not in details}
    return expected


@pytest.mark.parametrize("path", LEAVES, ids=identity)
def test_a_leaf_is_what_its_name_says(path, passed):
    algorithm, backbone, queries, schedule, dataset = name_of(path)
    cfg = loaded(path)
    assert {name: cfg.model.backbone[name] for name in BACKBONES[backbone]} == BACKBONES[backbone]
    assert cfg.train_cfg.max_epochs == epochs(schedule)
    assert not any("end" in s for s in cfg.param_scheduler if s.by_epoch)  # the run's length is one value
    assert GIVEN.get(dataset, dataset) in cfg.train_dataloader.dataset.data_root
    pipeline = str(cfg.train_dataloader.dataset.pipeline)
    crops = dataset in GIVEN or any(word in schedule for word in ("crop", "finetune"))
    assert ("RandomCrop" in pipeline) == crops
    assert ("RandomChoiceResize" in pipeline) == ("ms-480-800" in schedule)
    if dataset == "coco":
        warm_up, decay = cfg.param_scheduler
        assert decay.milestones == MILESTONES[schedule]
        assert warm_up.end == (1000 if backbone == "swin-s" else 500)

    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        crop = "RandomCrop" in pipeline and loader is cfg.train_dataloader
        if str((loader.dataset.pipeline, crop)) not in passed:
            check_pipeline(loader.dataset.pipeline, crop=crop)
            passed.add(str((loader.dataset.pipeline, crop)))

    model = built(cfg)
    head = model.bbox_head
    assert f"{len(head.queries.content)}-query" == queries
    assert head.max_per_img == len(head.queries.content)
    decoder = head.decoder
    sampling = decoder.stack[0].sampling
    shape = (sampling.num_groups, sampling.offsets.bias.numel() // sampling.num_groups // 3)
    if algorithm in ADAMIXER_SHAPES:
        assert shape == ADAMIXER_SHAPES[algorithm][dataset]
        assert decoder.spec.is_plain
        assert not list(decoder.stack.bases.parameters())
        assert len(decoder.stack) == (6 if dataset == "coco" else 4)
        assert not any(facts(decoder)[kind] for kind in ("adaptive", "static", "layers"))
    else:
        assert algorithm.startswith("lors-adamixer")
        full = backbone not in SMALL
        assert shape == LORS_SHAPE["coco" if full else dataset]
        assert facts(decoder) == expected_facts(algorithm, full=full)
    # the published weights of matching and loss
    criterion = head.criterion
    assert (criterion.class_weight, criterion.l1_weight, criterion.giou_weight) == (2, 5, 2)
    # the neck fits the decoder, and so do the levels the neck, once a family
    assert model.neck.norm.num_channels == head.queries.content.shape[1]
    if path in RUN_FORWARD:
        with torch.no_grad(), shapes_alone():
            outputs = model.train()(torch.zeros(1, 3, 64, 64, device="meta"))
        assert len(outputs) == len(decoder.stack)
        assert {tuple(output.logits.shape) for output in outputs} == {(1, len(head.queries.content), 80)}


@pytest.mark.parametrize("dataset", FLIPS)
def test_images_are_flipped_in_the_ways_that_change_no_meaning(dataset):
    for path in (leaf for leaf in LEAVES if name_of(leaf).dataset == dataset):
        cfg = loaded(path)
        (flip,) = (step for step in cfg.train_dataloader.dataset.pipeline if step.type == "RandomFlip")
        directions = flip.get("direction", "horizontal")
        assert set([directions] if isinstance(directions, str) else directions) == FLIPS[dataset]
        assert "RandomFlip" not in str(cfg.val_dataloader.dataset.pipeline)


def test_swin_has_no_decay_on_tables_and_norms():
    for path in (leaf for leaf in LEAVES if "swin-s" in leaf.stem):
        rules = loaded(path).optim_wrapper.paramwise_cfg
        assert set(rules.custom_keys) == {"relative_position_bias_table"}
        assert all(value == dict(decay_mult=0.0) for value in rules.custom_keys.values())
        assert rules.norm_decay_mult == 0.0


def changes(dataset: str) -> set[str]:
    return {path.stem for path in CONFIGS.glob(f"ablations/{dataset}/*.py")}


def test_every_ablation_has_its_configs():
    """On shapes and on COCO; ranks and stages differ, since the small decoder does."""
    references = {"lors", *ADAMIXER_SHAPES}
    assert {name for dataset in STUDIES for name in changes(dataset)} == {*ABLATIONS, *references}
    small = {"r2", "2-stages", "6-stages", "out-linear"}
    full = {"r32", "3-stages", "9-stages", "out-xavier"}
    assert changes("shapes") - references == set(ABLATIONS) - full
    assert changes("coco") - references == set(ABLATIONS) - small
    assert changes("bccd") - references == FEW
    for dataset in STUDIES:
        shapes = {name for name, shape in ADAMIXER_SHAPES.items() if dataset in shape}
        assert changes(dataset) & references == {"lors", *shapes}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {key: each for name, part in value.items() for key, each in flat(part, f"{prefix}.{name}").items()}


@pytest.mark.parametrize("dataset", STUDIES)
def test_an_ablation_changes_nothing_but_the_decoder(dataset):
    folder = CONFIGS / "ablations" / dataset
    reference = flat(loaded(folder / "lors.py").to_dict())
    for path in folder.glob("*.py"):
        values = flat(loaded(path).to_dict())
        keys = reference.keys() | values.keys()
        differing = {key for key in keys if reference.get(key, "none") != values.get(key, "none")}
        assert all(key.startswith(".model.bbox_head.decoder.") for key in differing), path
        assert bool(differing) == (path.stem != "lors"), path


@pytest.mark.parametrize("dataset", [folder.name for folder in sorted(CONFIGS.glob("studies/*"))])
@pytest.mark.parametrize("model", ["lors", "adamixer"])
def test_the_recipes_of_a_study_differ_by_their_parts_alone(dataset, model):
    """And one of the two is the set's own config, whose runs are then not made again."""
    kinds = ("published", "mean", "grid", "grid-mean")
    parts = {key: loaded(CONFIGS / f"studies/{dataset}/{model}_{key}.py").to_dict() for key in kinds}
    assert loaded(CONFIGS / f"ablations/{dataset}/{model}.py").to_dict() in parts.values()
    hooks = {key: cfg.pop("custom_hooks", []) for key, cfg in parts.items()}
    means = [hook for hook in hooks["grid-mean"] if hook["type"] == "EMAHook"]
    assert len(means) == 1
    assert [hook for hook in hooks["grid-mean"] if hook not in means] == hooks["published"]
    assert hooks["mean"] == hooks["grid-mean"]
    assert hooks["grid"] == hooks["published"]
    starts = {key: cfg["model"]["bbox_head"].pop("query_start", "image") for key, cfg in parts.items()}
    assert starts == {"published": "image", "mean": "image", "grid": "grid", "grid-mean": "grid"}
    assert all(cfg == parts["published"] for cfg in parts.values())


@pytest.mark.parametrize("family", ["lors_adamixer", "adamixer"])
def test_a_recipe_adds_its_parts_to_the_published_config(family):
    name = f"{family.replace('_', '-')}_r50_100-query_1x_coco.py"
    published, recipe = (loaded(CONFIGS / folder / name).to_dict() for folder in (family, "recipes"))
    head = recipe["model"]["bbox_head"]
    assert head.pop("query_start") == "grid"
    assert head["criterion"].pop("class_loss") == "matchability"
    head["criterion"] = head["criterion"] or None
    published["model"]["bbox_head"].setdefault("criterion", None)
    assert recipe == published


def test_residuals_grow_with_depth():
    leaves = [path for path in LEAVES if name_of(path).algorithm == "lors-adamixer"]  # not the ablations of it
    assert {name_of(path).dataset for path in leaves} == set(LORS_SHAPE)
    for path in leaves:
        groups = loaded(path).model.bbox_head.decoder.adaptive_groups
        assert list(groups) == sorted(groups)
        assert groups[0] < groups[-1]


def test_the_1x_recipe():
    cfg = loaded(CONFIGS / "lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py")
    assert (cfg.optim_wrapper.optimizer.type, cfg.optim_wrapper.optimizer.lr) == ("AdamW", 2.5e-5)
    assert cfg.optim_wrapper.optimizer.weight_decay == 1e-4
    assert cfg.optim_wrapper.clip_grad.max_norm == 1.0
    warm_up, decay = cfg.param_scheduler
    assert (warm_up.start_factor, warm_up.end, warm_up.by_epoch) == (0.001, 500, False)
    assert (decay.milestones, decay.gamma) == ([8, 11], 0.1)
    assert (cfg.model.backbone.frozen_stages, cfg.model.backbone.norm_eval) == (1, True)
    assert cfg.model.data_preprocessor.pad_size_divisor == 32
    assert cfg.model.data_preprocessor.bgr_to_rgb


PUBLISHED = {"adamixer": ADAMIXER, "lors": LORS, "adamixer_g2_p64": ADAMIXER_G2_P64}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_decoders_are_the_constants(name):
    """Configs cannot import them: mmengine reads a file with imports as one of another kind."""
    assert DecoderSpec(**Config.fromfile(CONFIGS / "_base_/decoders.py")[name]) == PUBLISHED[name]
