"""Boxes, embeddings and overlaps against their definitions."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.ops import box_area

from lors_det.adamixer import InitialQueries
from lors_det.adamixer.geometry import (
    at_least_float32,
    grid_offsets,
    pairwise_iof,
    position_embedding,
    refine,
    whole_image_xyzr,
    xyzr_to_xyxy,
)


def test_the_first_position_is_the_whole_image():
    sizes = torch.tensor([[640.0, 480.0], [333.0, 800.0]])
    xyxy = xyzr_to_xyxy(whole_image_xyzr(sizes))
    torch.testing.assert_close(xyxy, torch.cat([torch.zeros(2, 2), sizes], dim=1), rtol=1e-6, atol=1e-3)


def test_xyzr_means_what_it_says():
    x1, y1, x2, y2 = xyzr_to_xyxy(torch.tensor([10.0, 20.0, 5.0, 1.0])).tolist()
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((10.0, 20.0))
    assert math.log2(math.sqrt((x2 - x1) * (y2 - y1))) == pytest.approx(5.0, abs=1e-5)
    assert math.log2((y2 - y1) / (x2 - x1)) == pytest.approx(1.0, abs=1e-5)


def test_refinement_moves_by_the_box_size():
    moved = refine(torch.tensor([10.0, 20.0, 3.0, 0.5]), torch.tensor([0.5, -1.0, 0.25, -0.5]))
    torch.testing.assert_close(moved, torch.tensor([14.0, 12.0, 3.25, 0.0]))
    start = torch.rand(4)
    assert torch.equal(refine(start, torch.zeros(4)), start)


def test_position_embedding_is_interleaved_and_ordered():
    xyzr = torch.tensor([500.0, 250.0, 6.0, -0.5], dtype=torch.float64)
    expected = []
    for value in (0.5, 0.25, 6.0, -0.5):
        for i in range(8):
            angle = value / 10000 ** (2 * (i // 2) / 8)
            expected.append(math.cos(angle) if i % 2 else math.sin(angle))
    torch.testing.assert_close(position_embedding(xyzr, 32), torch.tensor(expected, dtype=torch.float64))
    with pytest.raises(ValueError, match="dim=12"):
        position_embedding(xyzr, 12)


def test_iof_divides_by_the_first_box():
    boxes = torch.tensor(
        [[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0], [3.0, 3.0, 3.0, 9.0]]
    )
    expected = torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(pairwise_iof(boxes)[:3, :3], expected)
    assert box_area(boxes)[3] == 0
    assert pairwise_iof(boxes).isfinite().all()


def test_grid_offsets_are_the_published_order():
    assert grid_offsets(6) is None
    grid = grid_offsets(9)
    third = 1 / 3
    expected = [[-third, -third], [-third, 0.0], [-third, third], [0.0, -third]]
    torch.testing.assert_close(grid[:4], torch.tensor(expected))
    torch.testing.assert_close(grid.mean(0), torch.zeros(2))


def test_queries_are_normalised_and_equal_for_every_image():
    queries = InitialQueries(5, 16)
    state = queries(torch.tensor([[64.0, 32.0], [80.0, 80.0]]))
    assert torch.equal(state.content[0], state.content[1])
    torch.testing.assert_close(state.content.mean(-1), torch.zeros(2, 5), atol=1e-6, rtol=0)
    torch.testing.assert_close(state.content.var(-1, correction=0), torch.ones(2, 5), atol=1e-4, rtol=0)
    assert state.xyzr.shape == (2, 5, 4)
    assert not state.xyzr.requires_grad


def test_half_precision_becomes_float32():
    assert at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
