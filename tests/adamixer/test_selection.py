"""Selected queries: which cells give them their positions, and what these cells learn."""

from __future__ import annotations

import math

import pytest
import torch
from references.small import NUM_CLASSES
from torch import Tensor

from lors_det.adamixer import InitialQueries, QueryState
from lors_det.adamixer.criterion import SetCriterion
from lors_det.adamixer.geometry import xyzr_to_xyxy
from lors_det.adamixer.selection import ANCHOR_CELLS, QuerySelection
from lors_det.adamixer.target import Target

DIM, STRIDES = 16, (4, 8, 16)
SIZES = torch.tensor([[64.0, 48.0], [40.0, 30.0]], dtype=torch.float64)
HEIGHT, WIDTH = 48, 64


def levels() -> list[Tensor]:
    return [torch.randn(2, DIM, HEIGHT // s, WIDTH // s, dtype=torch.float64) for s in STRIDES]


def selection(strides: tuple[int, ...] = STRIDES) -> QuerySelection:
    return QuerySelection(NUM_CLASSES, DIM, strides).double()


def queries(number: int) -> QueryState:
    return InitialQueries(number, DIM, start="selected").double()(SIZES)


def by_hand(module: QuerySelection, features: list[Tensor], image: int) -> list[tuple[float, Tensor]]:
    """Best score and box of each cell of an image, one after the other, best first."""
    found = []
    for level, stride in list(zip(features, STRIDES))[1:]:
        for row in range(level.shape[2]):
            for column in range(level.shape[3]):
                if column * stride >= SIZES[image, 0] or row * stride >= SIZES[image, 1]:
                    continue
                cell = module.embed(level[image, :, row, column])
                dx, dy, dz, dr = module.regress(cell).tolist()
                side = ANCHOR_CELLS * stride
                x, y = (column + 0.5) * stride + dx * side, (row + 0.5) * stride + dy * side
                width, height = side * 2 ** (dz - dr / 2), side * 2 ** (dz + dr / 2)
                box = torch.tensor([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dtype=torch.float64)
                found.append((module.classify(cell).max().item(), box))
    return sorted(found, key=lambda entry: -entry[0])


def test_queries_start_at_the_best_cells():
    module, features, state = selection(), levels(), queries(10)
    torch.nn.init.normal_(module.regress[-1].weight, std=0.1)
    chosen, predicted = module(features, state, SIZES)
    assert torch.equal(chosen.content, state.content)
    torch.testing.assert_close(xyzr_to_xyxy(chosen.xyzr), predicted.boxes_xyxy)
    for image in range(2):
        expected = by_hand(module, features, image)[:10]
        scores = predicted.logits[image].amax(-1)
        torch.testing.assert_close(scores.tolist(), [score for score, _ in expected])
        torch.testing.assert_close(predicted.boxes_xyxy[image], torch.stack([box for _, box in expected]))


def test_the_cells_of_an_image_do_not_depend_on_its_padding():
    module, features, state = selection(), levels(), queries(10)
    alone = [level[1:, :, : math.ceil(30 / s), : math.ceil(40 / s)] for level, s in zip(features, STRIDES)]
    together, _ = module(features, state, SIZES)
    single, _ = module(alone, QueryState(state.content[1:], state.xyzr[1:]), SIZES[1:])
    torch.testing.assert_close(single.xyzr[0], together.xyzr[1])


def test_more_queries_than_cells_share_them_in_turn():
    """And what they learn from is each cell once: a second one could only be told the contrary."""
    module, features = selection(), levels()
    chosen, predicted = module(features, queries(100), SIZES)
    assert predicted.boxes_xyxy.shape == (2, 8 * 6 + 4 * 3, 4)
    assert predicted.absent.sum(-1).tolist() == [0, 8 * 6 + 4 * 3 - (5 * 4 + 3 * 2)]
    for image, cells in enumerate((8 * 6 + 4 * 3, 5 * 4 + 3 * 2)):
        xyzr = chosen.xyzr[image]
        assert len(xyzr.unique(dim=0)) == cells
        assert torch.equal(xyzr, xyzr[torch.arange(100) % cells])
        assert len(predicted.boxes_xyxy[image].unique(dim=0)) == 8 * 6 + 4 * 3


@pytest.mark.parametrize("count", [2, 40])
def test_cells_beyond_an_image_learn_nothing(count):
    """They find its objects best, are given them no more than they would be without padding, and are told of nothing.

    Nor are losses divided by more objects than its cells can be given.
    """
    module, features = selection(), levels()
    torch.nn.init.normal_(module.regress[-1].weight, std=0.5)
    sizes = SIZES[1:]
    alone = [level[1:, :, : math.ceil(30 / s), : math.ceil(40 / s)] for level, s in zip(features, STRIDES)]
    state = QueryState(*(part[1:] for part in queries(100)))
    padded = module([level[1:] for level in features], state, sizes)[1]
    is_absent = padded.absent[0]
    assert 0 < is_absent.sum() < len(is_absent)
    boxes = padded.boxes_xyxy[0, is_absent].detach()
    targets = [Target(boxes[torch.arange(count) % len(boxes)], torch.arange(1, count + 1) % 2)]
    losses, expected = (
        SetCriterion().selection(module(each, state, sizes)[1], targets, sizes)
        for each in ([level[1:].requires_grad_() for level in features], alone)
    )
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name])
    boxes, logits = padded.boxes_xyxy, padded.logits
    gradients = torch.autograd.grad(sum(SetCriterion().selection(padded, targets, sizes).values()), (boxes, logits))
    assert all(not gradient[0, is_absent].any() for gradient in gradients)


def test_cells_start_at_the_prior():
    module = QuerySelection(80, 256, STRIDES)
    features = [torch.randn(2, 256, HEIGHT // s, WIDTH // s) for s in STRIDES]
    state = InitialQueries(10, 256, start="selected")(SIZES.float())
    scores = module(features, state, SIZES.float())[1].logits.sigmoid()
    assert 0.005 < scores.min() < scores.max() < 0.02


def test_mixed_precision_passes_gradients_to_all_weights():
    """The same weights are used before, to score, without gradients."""
    module, features = selection().float(), [level.float() for level in levels()]
    state = QueryState(*(part.float() for part in queries(10)))
    with torch.autocast("cpu", torch.bfloat16):
        chosen, predicted = module(features, state, SIZES.float())
    assert chosen.xyzr.dtype == predicted.boxes_xyxy.dtype == torch.float32
    (predicted.logits.float().sum() + predicted.boxes_xyxy.sum()).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert module.embed[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (levels()[:2], "2 feature levels came with 3 strides"),
        ([level[:, :8] for level in levels()], "features of 8 channels came to a selection of dim=16"),
    ],
)
def test_features_of_another_form_are_told(features, words):
    with pytest.raises(ValueError, match=words):
        selection()(features, queries(10), SIZES)


def test_an_image_of_one_pixel_has_a_cell():
    chosen, _ = selection()(levels(), queries(3), torch.ones(2, 2, dtype=torch.float64))
    assert chosen.xyzr.isfinite().all()
    assert (chosen.xyzr[..., :2] <= 16).all()


def test_a_single_level_is_used():
    chosen, _ = selection((16,))(levels()[2:], queries(12), SIZES)
    assert len(chosen.xyzr[0].unique(dim=0)) == 12


def test_cells_learn_from_their_own_matching_and_not_from_the_stages():
    module, features = selection(), [level.requires_grad_() for level in levels()]
    chosen, predicted = module(features, queries(10), SIZES)
    assert not chosen.xyzr.requires_grad
    targets = [
        Target(torch.tensor([[10.0, 10, 30, 30]], dtype=torch.float64), torch.tensor([1])),
        Target(torch.zeros(0, 4, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)),
    ]
    losses = SetCriterion().selection(predicted, targets, SIZES)
    assert set(losses) == {"selection.loss_cls", "selection.loss_bbox", "selection.loss_iou"}
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert features[0].grad is None
    assert all(level.grad.abs().sum() > 0 for level in features[1:])
    # the most that ten queries can move, of the sixty cells
    moved = torch.cat([level.grad.abs().sum(1).flatten(1) for level in features[1:]], dim=1)
    assert ((moved > 0).sum(1) <= 10).all()


@pytest.mark.parametrize("number", [10, 100])
def test_a_selection_that_learns_finds_objects(number):
    """Of two images that it learns by heart, with fewer and with more queries than cells."""
    torch.manual_seed(0)
    module = QuerySelection(NUM_CLASSES, DIM, STRIDES)
    features = [level.float() for level in levels()]
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    targets = [Target(box, torch.tensor([1])), Target(box[:, [0, 1, 3, 2]] * 0.5, torch.tensor([2]))]
    state = QueryState(*(part.float() for part in queries(number)))
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(150):
        losses = SetCriterion().selection(module(features, state, SIZES.float())[1], targets, SIZES.float())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    _, predicted = module(features, state, SIZES.float())
    for image, target in enumerate(targets):
        assert predicted.logits[image, 0].argmax() == target.labels[0]
        assert predicted.logits[image, 0].sigmoid().max() > 0.5  # which a cell that is told both ways stays below
        torch.testing.assert_close(predicted.boxes_xyxy[image, 0], target.boxes_xyxy[0], rtol=0, atol=2)


def test_predictions_that_are_not_finite_name_the_selection():
    module, features = selection(), levels()
    torch.nn.init.constant_(module.classify.bias, math.nan)
    _, predicted = module(features, queries(10), SIZES)
    empty = Target(torch.zeros(0, 4, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(FloatingPointError, match=r"^the selection of queries predicts logits or boxes"):
        SetCriterion().selection(predicted, [empty, empty], SIZES)
