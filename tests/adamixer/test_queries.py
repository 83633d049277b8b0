"""Where queries start."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import box_iou

from lors_det.adamixer import InitialQueries
from lors_det.adamixer.geometry import xyzr_to_xyxy
from lors_det.adamixer.queries import GRID_SPREAD

SIZES = torch.tensor([[640.0, 480.0], [100.0, 300.0]])


@pytest.mark.parametrize("num_queries", [1, 2, 7, 50, 100, 300])
def test_a_grid_covers_the_image_evenly(num_queries):
    """Every point of the image lies in a start box; boxes are alike, and no two at the same place."""
    boxes = xyzr_to_xyxy(InitialQueries(num_queries, 8, start="grid")(SIZES).xyzr)
    for (width, height), of_image in zip(SIZES, boxes):
        centres = (of_image[:, :2] + of_image[:, 2:]) / 2
        assert (centres > 0).all()
        assert (centres < torch.stack([width, height])).all()
        assert len(centres.unique(dim=0)) == num_queries
        area = (of_image[:, 2:] - of_image[:, :2]).prod(-1)
        assert area.allclose(4 * width * height / num_queries, rtol=1e-5)
        points = torch.cartesian_prod(torch.linspace(0, 1, 40) * width, torch.linspace(0, 1, 40) * height)
        inside = (points[:, None] >= of_image[:, :2]) & (points[:, None] <= of_image[:, 2:])
        assert inside.all(-1).any(-1).all()


def test_the_grid_of_an_image_does_not_depend_on_the_batch():
    queries = InitialQueries(9, 8, start="grid")
    assert torch.equal(queries(SIZES).xyzr[1:], queries(SIZES[1:]).xyzr)


def test_content_starts_alike_where_places_differ():
    """Standard deviations over the queries and over the channels."""
    for start, over_queries in (("grid", GRID_SPREAD), ("image", 1.0)):
        content = InitialQueries(1000, 64, start=start).content.detach()
        assert content.std(0).mean().item() == pytest.approx(over_queries, rel=0.05)
        assert 0.7 < content.std(1).mean().item() < 1.3
    again = InitialQueries(1000, 64, start="grid").content
    assert not torch.equal(again.mean(0), InitialQueries(1000, 64, start="grid").content.mean(0))


def test_all_start_at_the_whole_image_by_default():
    boxes = xyzr_to_xyxy(InitialQueries(5, 8)(SIZES).xyzr)
    whole = torch.cat([torch.zeros_like(SIZES), SIZES], -1)
    for of_image, image in zip(boxes, whole):
        assert box_iou(of_image, image[None]).min() > 0.999


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_of_half_precision_starts_at_the_same_pixels(dtype):
    sizes = torch.tensor([[1333.0, 800.0]])
    queries = InitialQueries(300, 8, start="grid")
    expected = queries(sizes).xyzr
    assert torch.equal(queries.to(dtype)(sizes).xyzr, expected)


def test_a_start_is_not_stored():
    """Checkpoints of either start are of the same form."""
    assert set(InitialQueries(5, 8, start="grid").state_dict()) == set(InitialQueries(5, 8).state_dict()) == {"content"}


@pytest.mark.parametrize("start", ["image", "grid"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float16])
def test_sizes_of_another_type(start, dtype):
    """Whole numbers would put all centres of a grid into the corner."""
    with pytest.raises(ValueError, match=f"image_sizes are {dtype}; they must be float32 or float64"):
        InitialQueries(4, 8, start=start)(torch.tensor([[640, 480]], dtype=dtype))


def test_an_unknown_start():
    with pytest.raises(ValueError, match="'corner'"):
        InitialQueries(5, 8, start="corner")
