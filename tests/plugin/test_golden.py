"""Published weights give the published models' outputs, losses and gradients."""

from __future__ import annotations

import pytest
from references.golden import DECODERS, NUM_STAGES, decoder_of, inputs_of, load, relative_error
from torch import Tensor

from lors_det.adamixer.criterion import SetCriterion
from lors_det.adamixer.geometry import position_embedding
from lors_det.adamixer.target import Target
from lors_det.checkpoints.published_names import from_published
from lors_det.ops import FeatureBank, sample_3d, sample_3d_reference

OUTPUTS, GRADIENTS = 1e-5, 1e-4


@pytest.fixture(params=list(DECODERS))
def model(request) -> str:
    return request.param


@pytest.fixture
def golden(model) -> dict[str, Tensor]:
    return load(model)


def losses_of(outputs, golden) -> dict[str, Tensor]:
    targets = [Target(golden[f"input/gt{i}_boxes_xyxy"], golden[f"input/gt{i}_labels"]) for i in range(2)]
    return SetCriterion()(outputs, targets, golden["input/whwh"][:, :2])


def test_outputs(model, golden):
    levels, state = inputs_of(golden)
    outputs = decoder_of(model, golden)(levels, state)
    assert len(outputs) == NUM_STAGES
    for i, output in enumerate(outputs):
        found = {
            "cls_logits": output.logits,
            "boxes_xyxy": output.boxes_xyxy,
            "xyzr": output.state.xyzr,
            "query": output.state.content,
        }
        for name, value in found.items():
            assert relative_error(value, golden[f"output/stage{i}_{name}"]) < OUTPUTS, (i, name)


def test_parts_of_the_first_stage():
    """The file of LORS alone has them."""
    golden = load("lors")
    decoder = decoder_of("lors", golden)
    levels, state = inputs_of(golden)
    stage, bank = decoder.stack[0], FeatureBank.from_levels(levels, decoder.spec.strides)
    embedding = position_embedding(state.xyzr, 32)
    content = stage.attention(state)  # of which LORS shares nothing, nor of the sampling points
    points = stage.sampling(content, state.xyzr)
    assert relative_error(embedding, golden["inter/position_embedding"]) < OUTPUTS
    assert relative_error(content, golden["inter/stage0_attention"]) < OUTPUTS
    expected = golden["inter/stage0_points_xyz"].view_as(points)
    assert relative_error(points[..., :2], expected[..., :2]) < OUTPUTS
    assert relative_error(points[..., 2], expected[..., 2]) < OUTPUTS
    for op in (sample_3d, sample_3d_reference):
        assert relative_error(op(bank, points), golden["inter/stage0_sampled"]) < OUTPUTS
    for i, plain in enumerate(decoder.stack.fold()):
        mixed = plain.mixing(golden["inter/stage0_sampled"], golden["inter/stage0_attention"])
        assert relative_error(mixed, golden[f"inter/mixing_stage{i}_on_stage0_input"]) < OUTPUTS


def test_losses_and_gradients(model, golden):
    decoder = decoder_of(model, golden)
    levels, state = inputs_of(golden)
    losses = losses_of(decoder(levels, state), golden)
    assert len(losses) == 3 * NUM_STAGES
    for name, loss in losses.items():
        stage, kind = name.split(".")
        assert relative_error(loss, golden[f"loss/stage{stage[1:]}_{kind}"]) < OUTPUTS, name
    sum(losses.values()).backward()
    for i, level in enumerate(levels):
        assert relative_error(level.grad, golden[f"grad/feats{i}"]) < GRADIENTS
    assert relative_error(state.content.grad, golden["grad/query"]) < GRADIENTS


def test_parameter_gradients(model, golden):
    """Norms of the gradients under the published names; a published tensor may be two of ours."""
    decoder = decoder_of(model, golden)
    levels, state = inputs_of(golden)
    sum(losses_of(decoder(levels, state), golden).values()).backward()
    gradients = {name: parameter.grad for name, parameter in decoder.named_parameters()}
    weights = {name[7:]: value for name, value in golden.items() if name.startswith("weight/")}
    checked = 0
    for published in weights:
        # convert a state dict in which only this tensor is not zero: its non-zero parts are its images
        marked = {name: value.new_full(value.shape, float(name == published)) for name, value in weights.items()}
        images = [
            name.removeprefix("bbox_head.decoder.") for name, value in from_published(marked).items() if value.any()
        ]
        norm = sum(gradients[name].square().sum() for name in images).sqrt()
        expected = golden[f"grad_norm/{published}"]
        assert (norm - expected).abs() <= GRADIENTS * expected + 1e-6, (published, norm, expected)
        checked += len(images)
    assert checked == len(gradients)
