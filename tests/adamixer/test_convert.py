"""The key map of published checkpoints; the golden tests prove its numbers."""

from __future__ import annotations

import pytest
import torch
from references.golden import load

from lors_det.adamixer.convert import from_published


def published(model: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix("weight/"): value for name, value in load(model).items() if name.startswith("weight/")}


@pytest.mark.parametrize("model", ["lors", "adamixer"])
def test_every_number_survives(model):
    weights = published(model)
    converted = from_published(weights)
    assert sum(value.numel() for value in converted.values()) == sum(value.numel() for value in weights.values())
    left, right = (torch.cat([v.flatten() for v in state.values()]).sort().values for state in (weights, converted))
    assert torch.equal(left, right)


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


def test_other_checkpoints_are_refused():
    with pytest.raises(ValueError, match=r"2 keys are not those .*: roi_head.other, roi_head.bbox_head.0.new.weight"):
        from_published(
            {**published("lors"), "roi_head.other": torch.rand(1), "roi_head.bbox_head.0.new.weight": torch.rand(1)}
        )
    with pytest.raises(ValueError, match="not a published AdaMixer or LORS-AdaMixer checkpoint"):
        from_published({"backbone.conv1.weight": torch.rand(1)})
