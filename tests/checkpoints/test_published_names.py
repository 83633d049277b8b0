"""The key map of published checkpoints; the golden tests prove its numbers."""

from __future__ import annotations

import re

import pytest
import torch
from references.golden import load

from lors_det.checkpoints.published_names import from_published, published_model, to_published


def published(model: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix("weight/"): value for name, value in load(model).items() if name.startswith("weight/")}


@pytest.mark.parametrize("model", ["lors", "adamixer"])
def test_every_number_survives(model):
    weights = published(model)
    converted = from_published(weights)
    assert sum(value.numel() for value in converted.values()) == sum(value.numel() for value in weights.values())
    left, right = (torch.cat([v.flatten() for v in state.values()]).sort().values for state in (weights, converted))
    assert torch.equal(left, right)


@pytest.mark.parametrize("model", ["lors", "adamixer"])
def test_there_and_back_is_bit_identical(model):
    weights = published(model)
    assert published_model(weights) == model
    back = to_published(from_published(weights))
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], value) for name, value in weights.items())
    ours = from_published(weights)
    again = from_published(to_published(ours))
    assert again.keys() == ours.keys()
    assert all(torch.equal(again[name], value) for name, value in ours.items())


def test_models_without_a_published_counterpart_are_refused():
    with pytest.raises(ValueError, match=r"1 keys are not .* published counterpart: bbox_head\.new"):
        to_published({**from_published(published("lors")), "bbox_head.new": torch.rand(1)})
    grouped = from_published(published("lors"))
    name = "bbox_head.decoder.stack.bases.{}.mixing.out.weight"
    grouped[name.format(1)] = grouped[name.format(0)]
    with pytest.raises(
        ValueError, match=r"no published counterpart: 1 unexpected: stack\.bases\.1\.mixing\.out\.weight"
    ):
        to_published(grouped)
    with pytest.raises(ValueError, match="not a checkpoint of this project"):
        to_published(published("lors"))


def test_a_truncated_checkpoint_is_refused():
    weights = published("lors")
    del weights["roi_head.adaptive_mixing.base_out_proj.weight"]
    with pytest.raises(ValueError, match=r"lacks roi_head.adaptive_mixing.base_out_proj.weight"):
        from_published(weights)


@pytest.mark.parametrize("model", ["lors", "adamixer"])
def test_every_missing_or_misshapen_weight_is_named(model):
    """A checkpoint that lost any one weight, or has it in another shape, is refused in both directions."""
    weights = published(model)
    for convert, state in ((from_published, weights), (to_published, from_published(weights))):
        for name, tensor in state.items():
            if re.search(
                r"(bbox_head|stages|bases|residuals|_parameters|_generator|add_.|bias|norm)\.[12](\.|$)", name
            ):
                continue  # of another stage than the first
            with pytest.raises(ValueError, match=r"lacks|\d missing: |not a "):
                convert({key: value for key, value in state.items() if key != name})
            with pytest.raises(
                ValueError, match=r"\d of another shape: stack\.(bases|stages|residuals)\.|the shapes of .* contradict"
            ):
                convert({**state, name: torch.cat([tensor, tensor])})
            with pytest.raises(ValueError, match=r"of another shape: |the shapes of .* contradict|has the shape"):
                convert({**state, name: tensor[None]})
            with pytest.raises(ValueError, match=r"of another shape: |the shapes of .* contradict|has the shape"):
                convert({**state, name: tensor.sum()})


def test_the_rest_of_a_whole_model_is_renamed():
    extra = {
        "backbone.conv1.weight": torch.rand(2),
        "neck.lateral_convs.2.conv.weight": torch.rand(2),
        "neck.gn_out.bias": torch.rand(2),
        "rpn_head.init_content_features.weight": torch.rand(2),
        "rpn_head.init_proposal_bboxes.weight": torch.rand(2),
    }
    converted = from_published({**published("lors"), **extra})
    assert converted["backbone.conv1.weight"] is extra["backbone.conv1.weight"]
    assert torch.equal(converted["neck.laterals.2.weight"], extra["neck.lateral_convs.2.conv.weight"])
    assert torch.equal(converted["neck.norm.bias"], extra["neck.gn_out.bias"])
    assert torch.equal(converted["bbox_head.queries.content"], extra["rpn_head.init_content_features.weight"])
    assert not any("proposal" in name for name in converted)
    back = to_published({**converted, "bbox_head.queries.content": torch.rand(7, 4)})
    assert torch.equal(back["rpn_head.init_proposal_bboxes.weight"], torch.zeros(7, 4))
    table = extra["rpn_head.init_proposal_bboxes.weight"]
    assert to_published(converted, table)["rpn_head.init_proposal_bboxes.weight"] is table
    assert torch.equal(back["neck.gn_out.bias"], extra["neck.gn_out.bias"])


def test_other_checkpoints_are_refused():
    with pytest.raises(ValueError, match=r"2 keys are not those .*: roi_head.other, roi_head.bbox_head.0.new.weight"):
        from_published(
            {**published("lors"), "roi_head.other": torch.rand(1), "roi_head.bbox_head.0.new.weight": torch.rand(1)}
        )
    with pytest.raises(ValueError, match="not a published AdaMixer or LORS-AdaMixer checkpoint"):
        from_published({"backbone.conv1.weight": torch.rand(1)})
