"""3-D sampling: the fast op is the reference, and both are what the formula says."""

from __future__ import annotations

import pytest
import torch
from references.accuracy import assert_as_accurate
from references.many_cells import many_cells
from torch import Tensor

from lors_det.ops import FeatureBank, sample_3d, sample_3d_reference
from lors_det.ops.sampling import level_weights

STRIDES = (4, 8, 16, 32)


def pyramid(num_images: int, dim: int, height: int, width: int, num_levels: int, dtype: torch.dtype) -> list[Tensor]:
    sizes = [(-(-height // s), -(-width // s)) for s in STRIDES[:num_levels]]
    return [torch.randn(num_images, dim, h, w, dtype=dtype) for h, w in sizes]


def points(num_images: int, num_queries: int, num_groups: int, num_points: int, size: float) -> Tensor:
    """Inside and outside of a square image of this size, over all scales."""
    xy = (torch.rand(num_images, num_queries, num_groups, num_points, 2) * 2 - 0.5) * size
    z = torch.rand(num_images, num_queries, num_groups, num_points, 1) * 8
    return torch.cat([xy, z], dim=-1)


@pytest.mark.parametrize(
    ("num_images", "num_queries", "num_groups", "num_points", "channels", "num_levels"),
    [(2, 5, 2, 4, 8, 4), (1, 1, 1, 1, 1, 1), (3, 7, 4, 9, 3, 2), (1, 3, 2, 5, 16, 4)],
)
def test_equals_reference(num_images, num_queries, num_groups, num_points, channels, num_levels):
    levels = pyramid(num_images, num_groups * channels, 48, 60, num_levels, torch.float32)
    where = points(num_images, num_queries, num_groups, num_points, 60.0)

    def through_bank(op):
        return lambda where, *levels: op(FeatureBank.from_levels(levels, STRIDES[:num_levels]), where)

    assert_as_accurate(through_bank(sample_3d), through_bank(sample_3d_reference), where, *levels)


def test_gradients_are_exact():
    levels = [level.requires_grad_() for level in pyramid(1, 4, 16, 16, 2, torch.float64)]
    # away from pixel centres, where bilinear interpolation has a kink
    where = points(1, 2, 2, 3, 16.0).double().requires_grad_()
    torch.autograd.gradcheck(
        lambda where, *levels: sample_3d(FeatureBank.from_levels(levels, STRIDES[:2]), where), (where, *levels)
    )


def test_pixel_centres_and_outside():
    level = torch.arange(1.0, 13.0).view(1, 1, 3, 4)
    bank = FeatureBank.from_levels([level], (4,))
    where = torch.tensor([[4 * 2.5, 4 * 1.5], [4 * 3.0, 4 * 1.5], [-100.0, 5.0], [5.0, 1e9], [0.0, 4 * 0.5]])
    where = torch.cat([where, torch.zeros(5, 1)], dim=1).view(1, 5, 1, 1, 3)
    # a pixel's own value, the mean of two neighbours, zeros outside, half of the border pixel on the border
    expected = torch.tensor([7.0, 7.5, 0.0, 0.0, 0.5])
    torch.testing.assert_close(sample_3d(bank, where).flatten(), expected)


def test_a_level_of_more_cells_than_float32_counts():
    bank, where, truth = many_cells()
    torch.testing.assert_close(sample_3d(bank, where), truth)


def test_groups_read_their_own_channels():
    level = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1).expand(-1, -1, 4, 4)
    where = torch.tensor([8.0, 8.0, 2.0]).expand(1, 1, 2, 1, 3)
    sampled = sample_3d(FeatureBank.from_levels([level], (4,)), where)
    torch.testing.assert_close(sampled.flatten(), torch.tensor([1.0, 2.0, 3.0, 4.0]))


def test_level_weights_follow_the_formula():
    z = torch.tensor([2.0, 3.5])
    exponent = -((z[:, None] - torch.tensor([2.0, 3.0, 4.0, 5.0])) ** 2) / 2
    torch.testing.assert_close(level_weights(z, STRIDES), exponent.exp() / exponent.exp().sum(1, keepdim=True))


def test_bank_gives_back_its_levels():
    levels = pyramid(2, 6, 32, 40, 4, torch.float32)
    for level, back in zip(levels, FeatureBank.from_levels(levels, STRIDES).levels()):
        assert torch.equal(level, back)


def test_the_table_of_a_bank_is_made_once_for_its_sizes():
    levels = [torch.randn(1, 8, 6, 5), torch.randn(1, 8, 3, 2)]
    with torch.inference_mode():
        table = FeatureBank.from_levels(levels, (4, 8)).table
    assert table.tolist() == [[6, 5, 0], [3, 2, 30]]
    assert not table.is_inference(), "training takes it too"
    assert FeatureBank.from_levels([2 * level for level in levels], (8, 16)).table is table
    assert FeatureBank.from_levels(levels[:1], (4,)).table.tolist() == [[6, 5, 0]]


def test_bad_input_is_named():
    levels = pyramid(1, 6, 32, 32, 2, torch.float32)
    with pytest.raises(ValueError, match="2 feature levels came with 4 strides"):
        FeatureBank.from_levels(levels, STRIDES)
    with pytest.raises(ValueError, match="6 feature channels cannot be split into 4 groups"):
        sample_3d(FeatureBank.from_levels(levels, STRIDES[:2]), torch.zeros(1, 1, 4, 1, 3))
    for sample in (sample_3d, sample_3d_reference):
        with pytest.raises(ValueError, match="a bank of 1 images came with points of 2"):
            sample(FeatureBank.from_levels(levels, STRIDES[:2]), torch.zeros(2, 1, 2, 1, 3))


@pytest.mark.parametrize("shape", [(0, 3, 2, 4), (1, 0, 2, 4), (1, 3, 2, 0)], ids=["images", "queries", "points"])
@pytest.mark.parametrize("sample", [sample_3d, sample_3d_reference], ids=["ours", "reference"])
def test_of_no_points_there_is_nothing(sample, shape):
    bank = FeatureBank.from_levels(pyramid(shape[0], 6, 32, 32, 2, torch.float64), STRIDES[:2])
    assert sample(bank, torch.zeros(*shape, 3, dtype=torch.float64)).shape == (*shape, 3)


@pytest.mark.parametrize("num_groups", [1, 2, 3])
def test_points_that_are_no_numbers_stay_visible(num_groups):
    """They must neither crash nor vanish: the criterion names the stage that diverged."""
    bank = FeatureBank.from_levels(pyramid(1, 6, 32, 32, 2, torch.float32), STRIDES[:2])
    where = points(1, 2, num_groups, 3, 32.0)
    where[0, 1, 0, 2] = float("nan")
    sampled = sample_3d(bank, where)
    assert sampled[0, 1, 0, 2].isnan().all()
    assert sampled[0, 0].isfinite().all()
