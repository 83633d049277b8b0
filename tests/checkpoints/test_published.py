"""A full-size published checkpoint, converted and loaded, is the published detector.

The oracle of ``references/published.py`` shares no code with the package. It is trusted because it reproduces the
golden numbers, and then decides for models of full size with random weights, from the image file to detections and
losses. The model is compared in float64, where any difference is one of method, and as it runs, in float32, where six
stages multiply the rounding of the first: there its error may be as large as the oracle's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from references import published, published_checkpoint
from references.golden import load, relative_error
from references.published import PUBLISHED, Batch, Shape, Stage
from torch import Tensor, nn

from lors_det.checkpoints.convert import convert_file
from lors_det.cli import run
from lors_det.plugin.config.reading import load_config

ROOT = Path(__file__).parents[2]
GOLDEN = {
    "lors": Shape(32, 4, 64, 5, 7, 3, 2, 9, 16, adaptive_groups=(1, 2, 3), rank=4, static_rank=3),
    "adamixer": Shape(32, 4, 64, 5, 7, 3, 4, 6, 16),
}
CONFIGS = {
    "lors": "lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py",
    "adamixer": "adamixer/adamixer_r50_100-query_1x_coco.py",
}
DECODER_PARAMETERS = {"lors": 35_348_264, "adamixer": 110_272_296}
PARAMETERS = {"lors": 59_866_872, "adamixer": 134_790_904}
"""As published, the unused table of boxes included."""

SCALE = (333, 200)
"""Long and short edge, a quarter of the config's."""

SIZES = ((200, 150), (140, 190))
"""(w, h) of the files: neither becomes a multiple of 32, and they are padded differently in a batch."""

EXACT = 1e-10
"""Largest relative difference in float64."""

SLACK = 2.0
"""How many times larger than the oracle's the model's rounding may be."""


@pytest.fixture(params=list(PUBLISHED), scope="module")
def model(request) -> str:
    return request.param


# --- the oracle


@pytest.fixture
def golden(model) -> dict[str, Tensor]:
    return load(model)


def golden_weights(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("weight/"): value for name, value in golden.items() if name.startswith("weight/")}


def test_the_oracle_gives_the_golden_numbers(model, golden):
    weights = {name: value.clone().requires_grad_() for name, value in golden_weights(golden).items()}
    levels = [golden[f"input/feats{level}"].clone().requires_grad_() for level in range(4)]
    content = golden["input/query"].clone().requires_grad_()
    outputs = published.decode(weights, GOLDEN[model], levels, content, golden["input/xyzr"])
    assert len(outputs) == GOLDEN[model].num_stages
    for i, output in enumerate(outputs):
        for name, value in zip(("cls_logits", "boxes_xyxy", "query", "xyzr"), output):
            assert relative_error(value, golden[f"output/stage{i}_{name}"]) < 1e-5, (i, name)
    targets = [(golden[f"input/gt{image}_boxes_xyxy"], golden[f"input/gt{image}_labels"]) for image in range(2)]
    losses = published.losses(outputs, targets, golden["input/whwh"][:, :2])
    assert losses.keys() == {name[5:] for name in golden if name.startswith("loss/") and "pos_acc" not in name}
    for name, loss in losses.items():
        assert relative_error(loss, golden["loss/" + name]) < 1e-5, name
    sum(losses.values()).backward()
    for name, leaf in (("query", content), *((f"feats{level}", x) for level, x in enumerate(levels))):
        assert relative_error(leaf.grad, golden["grad/" + name]) < 1e-4, name
    for name, weight in weights.items():
        expected = golden["grad_norm/" + name]
        assert (weight.grad.norm() - expected).abs() <= 1e-4 * expected + 1e-6, name


def test_the_oracle_gives_the_golden_parts():
    golden = load("lors")
    weights, shape = golden_weights(golden), GOLDEN["lors"]
    content, xyzr = golden["input/query"], golden["input/xyzr"]
    levels = [golden[f"input/feats{level}"] for level in range(4)]
    attended = published.attend(weights, shape, "roi_head.bbox_head.0.", content, xyzr)
    points = published.points_of(weights, shape, "roi_head.bbox_head.0.", attended, xyzr)
    found = {
        "position_embedding": published.position_embedding(xyzr, shape.dim),
        "stage0_attention": attended,
        "stage0_points_xyz": points.flatten(2, 3)[:, :, None],
        "stage0_sampled": published.sample(shape, levels, points),
    }
    for i in range(3):
        mixed = published.mix(weights, shape, i, golden["inter/stage0_sampled"], golden["inter/stage0_attention"])
        found[f"mixing_stage{i}_on_stage0_input"] = mixed
    for name, value in found.items():
        assert relative_error(value, golden["inter/" + name]) < 1e-5, name


def test_keys_and_shapes_are_the_published_ones(model, golden):
    small = {name: tuple(value.shape) for name, value in golden_weights(golden).items()}
    assert published_checkpoint.shapes_of(GOLDEN[model]) == small
    shapes = published_checkpoint.shapes_of(PUBLISHED[model])
    assert sum(np.prod(shape) for shape in shapes.values()) == DECODER_PARAMETERS[model]


# --- full size


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """Two pictures: rectangles on a gradient with stripes."""
    folder, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    paths = []
    for number, (width, height) in enumerate(SIZES):
        image = np.linspace(0, 255, width * height * 3).reshape(height, width, 3) + random.normal(0, 20, (1, width, 3))
        image = np.ascontiguousarray(image.clip(0, 255).astype(np.uint8))
        for _ in range(12):
            x, y, side = (int(value) for value in random.integers(0, (width, height, 60)))
            cv2.rectangle(image, (x, y), (x + side, y + side), random.integers(0, 255, 3).tolist(), -1)
        paths.append(folder / f"{number}.png")
        cv2.imwrite(str(paths[-1]), image)
    return paths


@pytest.fixture(scope="module")
def checkpoint(model) -> dict[str, Tensor]:
    return published_checkpoint.random_checkpoint(PUBLISHED[model])


@pytest.fixture(scope="module")
def converted(checkpoint, tmp_path_factory) -> Iterator[Path]:
    """The checkpoint's file, converted by the command line."""
    folder = tmp_path_factory.mktemp("checkpoint")
    source, target = folder / "published.pth", folder / "ours.pth"
    torch.save({"meta": {}, "state_dict": checkpoint}, source)
    run("convert", [str(source), str(target)])
    source.unlink()  # half a gigabyte
    yield target
    target.unlink()


@pytest.fixture(scope="module")
def config(model) -> Config:
    cfg = load_config(ROOT / "configs" / CONFIGS[model])
    cfg.model.backbone.init_cfg = None  # the checkpoint brings the backbone
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        for step in loader.dataset.pipeline:
            if step.type == "Resize":
                step.scale = SCALE
            elif step.type == "RandomFlip":
                step.prob = 1.0
    return cfg


@pytest.fixture(scope="module")
def detector(config, converted) -> nn.Module:
    built = MODELS.build(config.model)
    built.load_state_dict(torch.load(converted, weights_only=True, mmap=True)["state_dict"], strict=True)
    return built


def oracle(model: str, checkpoint: dict[str, Tensor], batch: Batch, dtype: torch.dtype) -> list[Stage]:
    weights = {name: value.to(dtype) for name, value in checkpoint.items()}
    return published.forward(weights, PUBLISHED[model], batch._replace(images=batch.images.to(dtype)))


def as_precise(detector: nn.Module, dtype: torch.dtype, monkeypatch) -> None:
    """Let the detector compute in a precision; its head has image sizes, and takes their logarithm, in float32."""
    head = detector.bbox_head
    sizes_of = type(head)._image_sizes
    monkeypatch.setattr(head, "_image_sizes", lambda *inputs: sizes_of(head, *inputs).to(dtype))
    detector.to(dtype)


def annotations(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes in pixels of a file, float32, and their labels; another number of them in each."""
    random = np.random.default_rng(number)
    corner = random.uniform(0, 80, (5 - 2 * number, 2))
    boxes = np.concatenate([corner, corner + random.uniform(8, 60, corner.shape)], axis=1)
    return boxes.astype(np.float32), random.integers(0, 80, len(boxes))


def collated(loader: dict[str, Any], files: list[Path]) -> dict[str, Any]:
    """A batch as the loader's pipeline makes it."""
    samples = []
    for number, (path, (width, height)) in enumerate(zip(files, SIZES)):
        objects = [
            dict(bbox=box.tolist(), bbox_label=int(label), ignore_flag=0) for box, label in zip(*annotations(number))
        ]
        info = dict(img_path=str(path), img_id=number, height=height, width=width, instances=objects)
        samples.append(Compose(loader["dataset"]["pipeline"])(info))
    return pseudo_collate(samples)


def mirrored_targets(batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """The annotations in pixels of the network's mirrored input."""
    targets = []
    for number, (factor, size) in enumerate(zip(batch.factors, batch.sizes)):
        boxes, labels = (torch.from_numpy(array) for array in annotations(number))
        left, top, right, bottom = (boxes * factor.repeat(2).float()).unbind(-1)
        targets.append((torch.stack([size[0] - right, top, size[0] - left, bottom], dim=-1), labels))
    return targets


def norm_error(value: Tensor, expected: Tensor) -> float:
    return ((value - expected).norm() / expected.norm()).item()


def test_the_checkpoint_is_a_whole_published_model(model, checkpoint):
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    numbers = {name: value.numel() for name, value in checkpoint.items() if not name.endswith(statistics)}
    assert sum(numbers.values()) == PARAMETERS[model]


@pytest.mark.parametrize("count", [1, 2], ids=["single", "batch"])
@torch.no_grad()
def test_detections(model, config, files, checkpoint, detector, monkeypatch, count):
    batch = published.preprocess(files[:count], SCALE)
    assert (batch.sizes % 32).all(), "padding would not matter"
    exact = oracle(model, checkpoint, batch, torch.float64)
    rounded = oracle(model, checkpoint, batch, torch.float32)
    expected = published.detect(exact[-1], batch.factors)
    assert all(len(labels.unique()) > 1 and len(boxes.unique(dim=0)) > 40 for boxes, _, labels in expected)

    detector.eval()
    for dtype in (torch.float64, torch.float32):  # in this order, which leaves the detector in float32
        as_precise(detector, dtype, monkeypatch)
        data = detector.data_preprocessor(collated(config.test_dataloader, files[:count]))
        assert relative_error(data["inputs"], batch.images) < (EXACT if dtype == torch.float64 else 1e-6)
        outputs = detector.bbox_head(detector.extract_feat(data["inputs"]), data["data_samples"])
        for i, (output, wanted, plain) in enumerate(zip(outputs, exact, rounded, strict=True)):
            found = Stage(output.logits, output.boxes_xyxy, output.state.content, output.state.xyzr)
            for name, value, right, near in zip(Stage._fields, found, wanted, plain):
                if dtype == torch.float64:
                    assert relative_error(value, right) < EXACT, (i, name)
                else:  # of all elements: which one rounding drives furthest is chance, and differs between processors
                    assert norm_error(value, right) < SLACK * norm_error(near, right), (i, name)
        if dtype == torch.float64:  # rounding to float32 may swap equally good ones
            detections = [sample.pred_instances for sample in detector(**data, mode="predict")]
            for found, (boxes, scores, labels) in zip(detections, expected, strict=True):
                assert len(scores) == PUBLISHED[model].num_queries
                assert torch.equal(found.labels, labels)
                assert relative_error(found.scores, scores) < EXACT
                assert relative_error(found.bboxes, boxes) < EXACT


@torch.no_grad()
def test_losses(model, config, files, checkpoint, detector, monkeypatch):
    """In training mode, through the training pipeline, mirrored."""
    batch = published.preprocess(files, SCALE, mirror=True)
    stages = oracle(model, checkpoint, batch, torch.float64)
    expected = published.losses(stages, mirrored_targets(batch), batch.sizes)
    detector.train()
    for dtype, tolerance in ((torch.float64, EXACT), (torch.float32, 1e-4)):
        as_precise(detector, dtype, monkeypatch)
        data = detector.data_preprocessor(collated(config.train_dataloader, files), training=True)
        losses = {f"stage{name[1:]}".replace(".", "_"): loss for name, loss in detector(**data, mode="loss").items()}
        assert losses.keys() == expected.keys()
        for name, loss in losses.items():
            assert relative_error(loss, expected[name]) < tolerance, (dtype, name)


def test_there_and_back_is_bit_identical(checkpoint, converted):
    target = converted.with_name("back.pth")
    convert_file(converted, target, back=True)
    back = torch.load(target, weights_only=True, mmap=True)["state_dict"]
    target.unlink()
    assert back.keys() == checkpoint.keys()
    differing = [name for name, value in checkpoint.items() if not identical(back[name], value)]
    assert differing == []


def identical(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)
