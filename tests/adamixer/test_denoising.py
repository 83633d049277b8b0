"""Denoising queries: what they are made of, what they learn, and what never sees them."""

from __future__ import annotations

import pytest
import torch
from references.small import NUM_CLASSES, inputs, lors_decoder, randomise

from lors_det.adamixer import QuerySets, QueryState, StageOutput
from lors_det.adamixer.criterion import SetCriterion
from lors_det.adamixer.denoising import MIN_SIDE_PX, Denoising
from lors_det.adamixer.geometry import xyxy_to_xyzr, xyzr_to_xyxy
from lors_det.adamixer.target import Target

SIZES = torch.tensor([[80.0, 60.0], [64.0, 48.0]], dtype=torch.float64)
DIM, GROUPS = 16, 3
BOXES = torch.tensor([[10.0, 10, 50, 30], [5, 20, 15, 60], [30, 5, 70, 45]], dtype=torch.float64)
TARGETS = [Target(BOXES, torch.tensor([0, 2, 1])), Target(BOXES[:1], torch.tensor([2]))]


def made(targets: list[Target] = TARGETS, **changes: float) -> tuple[Denoising, QueryState]:
    denoising = Denoising(NUM_CLASSES, DIM, **{"num_groups": GROUPS, "max_queries": 10_000, **changes}).double()
    state, num_sets, _ = denoising(targets, SIZES)
    assert num_sets == denoising.num_groups
    return denoising, state


def test_corners_are_the_inverse_of_positions():
    xyzr = torch.randn(50, 4, dtype=torch.float64) * 3
    torch.testing.assert_close(xyxy_to_xyzr(xyzr_to_xyxy(xyzr)), xyzr, rtol=1e-9, atol=1e-9)


def test_the_first_of_each_set_are_near_the_objects_and_the_others_are_not():
    torch.manual_seed(0)
    num_groups, noise = 200, 0.4
    _, state = made(num_groups=num_groups, box_noise=noise)
    assert state.xyzr.shape == (2, 2 * 3 * num_groups, 4)
    found = xyzr_to_xyxy(state.xyzr)[0].unflatten(0, (num_groups, 2, 3))  # group, near or not, object, corners
    half = (BOXES[:, 2:] - BOXES[:, :2]).repeat(1, 2) / 2
    moved = (found - BOXES) / half
    assert moved[:, 0].abs().max() < noise + 1e-9
    assert moved[:, 0].abs().mean().item() == pytest.approx(noise / 2, rel=0.05)
    assert moved[:, 1].abs().min() > noise - 1e-9
    assert moved[:, 1].abs().max() < 2 * noise + 1e-9
    assert abs(moved.mean().item()) < 0.02  # either way


def test_an_image_with_fewer_objects_has_random_boxes_in_it():
    _, state = made(box_noise=0.1)
    found = xyzr_to_xyxy(state.xyzr)[1].unflatten(0, (GROUPS, 2, 3))
    margin = 0.1 * SIZES[1].max()
    assert (found[:, :, 1:] > -margin).all()
    assert (found[..., 2:] < SIZES[1] + margin).all()


def test_boxes_stay_upright_and_have_sides():
    thin = Target(torch.tensor([[10.0, 10, 10.1, 40], [20, 20, 20, 20]], dtype=torch.float64), torch.tensor([0, 1]))
    _, state = made([thin, thin], box_noise=1.0)
    boxes = xyzr_to_xyxy(state.xyzr)
    assert (boxes[..., 2:] - boxes[..., :2]).min() >= MIN_SIDE_PX - 1e-9
    assert state.xyzr.isfinite().all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_contents_are_those_of_classes(share):
    torch.manual_seed(0)
    num_groups = 300
    denoising, state = made(num_groups=num_groups, label_noise=share)
    of_class = torch.nn.functional.layer_norm(denoising.content, (DIM,))
    found = torch.cdist(state.content[0], of_class).argmin(-1).unflatten(0, (2 * num_groups, 3))
    is_own = (found == TARGETS[0].labels).double().mean().item()
    assert is_own == pytest.approx(1 - share + share / NUM_CLASSES, abs=0.05)


@pytest.mark.parametrize(("most", "sets"), [(6, 1), (11, 1), (12, 2), (100, 3)])
def test_crowds_have_fewer_sets(most, sets):
    """Three objects and as many of none: six queries a set."""
    state, num_sets, _ = Denoising(NUM_CLASSES, DIM, num_groups=GROUPS, max_queries=most).double()(TARGETS, SIZES)
    assert num_sets == sets
    assert state.content.shape[1] == 6 * sets


def test_what_fills_up_is_of_any_class():
    torch.manual_seed(0)
    denoising, state = made(num_groups=200, label_noise=0.0)
    of_class = torch.nn.functional.layer_norm(denoising.content, (DIM,))
    found = torch.cdist(state.content[1], of_class).argmin(-1).unflatten(0, (400, 3))
    assert (found[:, 0] == 2).all()
    assert len(found[:, 1:].unique()) > 1


def test_what_fills_up_is_said():
    denoising, _ = made()
    torch.manual_seed(0)
    state, num_sets, absent = denoising(TARGETS, SIZES)
    assert absent.shape == state.xyzr.shape[:2]
    assert not absent[0].any()
    assert absent[1].unflatten(0, (2 * num_sets, 3)).tolist() == [[False, True, True]] * 2 * num_sets
    none = Target(torch.zeros(0, 4, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
    assert not denoising([TARGETS[0], none], SIZES).absent[1].any()


@pytest.mark.parametrize("num_sets", [1, 2])
def test_an_image_is_restored_as_it_would_be_by_itself(num_sets):
    """Beside one with more objects, an object and what belongs to none see nothing of what fills up their set."""
    levels, detecting = inputs()
    decoder = randomise(lors_decoder()).double()
    denoising, _ = made()
    whole = denoising(TARGETS, SIZES)
    content, xyzr, absent = (part[:, : 6 * num_sets] for part in (*whole.state, whole.absent))
    there = ~absent[1]
    alone = QuerySets(QueryState(content[1:, there], xyzr[1:, there]), num_sets)
    one = QueryState(*(part[1:] for part in detecting))
    expected = decoder([level[1:] for level in levels], one, beside=alone)
    together = QuerySets(QueryState(content, xyzr), num_sets, absent)
    for found, own in zip(decoder(levels, detecting, beside=together), expected, strict=True):
        torch.testing.assert_close(found.beside.logits[1:, there], own.beside.logits)
        torch.testing.assert_close(found.beside.boxes_xyxy[1:, there], own.beside.boxes_xyxy)
        torch.testing.assert_close(found.logits[1:], own.logits)
    seen = decoder(levels, detecting, beside=together._replace(absent=None))
    assert not torch.allclose(seen[-1].beside.logits[1:, there], expected[-1].beside.logits)


def test_a_batch_without_objects_has_gradients_all_the_same():
    """So that all processes of a training reduce the same parameters."""
    none = Target(torch.zeros(0, 4, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
    denoising, state = made([none, none])
    assert state.content.shape[1] == 2 * GROUPS
    decoder = randomise(lors_decoder()).double()
    levels, detecting = inputs()
    outputs = decoder(levels, detecting, beside=QuerySets(state, GROUPS))
    losses = SetCriterion().denoising([output.beside for output in outputs], [none, none], SIZES)
    assert losses["s0.dn_loss_bbox"] == 0
    sum(losses.values()).backward()
    assert denoising.content.grad is not None
    assert decoder.stack[0].regress[3].weight.grad is not None


def test_losses_are_those_of_the_known_matches():
    """Against the matching criterion, of boxes and scores that leave the matching no choice."""
    outputs = []
    for _ in range(2):
        boxes = torch.stack([BOXES.repeat(2, 1), BOXES.repeat(2, 1)]) + torch.randn(2, 6, 4, dtype=torch.float64)
        boxes[:, 3:] += 500  # those of no object
        boxes[1, 1:] += 500
        logits = torch.randn(2, 6, NUM_CLASSES, dtype=torch.float64)
        logits[1, [1, 2, 4, 5]] = -1e4  # what fills up asks for nothing
        outputs.append(StageOutput(logits, boxes, None))
    expected = SetCriterion()(outputs, TARGETS, SIZES)
    found = SetCriterion().denoising(outputs, TARGETS, SIZES)
    assert found.keys() == {name.replace(".", ".dn_") for name in expected}
    for name, loss in expected.items():
        torch.testing.assert_close(found[name.replace(".", ".dn_")], loss)


@pytest.mark.parametrize("class_loss", ["focal", "varifocal", "matchability"])
def test_what_fills_up_takes_no_part(class_loss):
    """An image's losses are those that it has by itself."""
    logits = torch.randn(2, 12, NUM_CLASSES, dtype=torch.float64, requires_grad=True)
    boxes = BOXES.repeat(2, 4, 1) + torch.randn(2, 12, 4, dtype=torch.float64)
    criterion = SetCriterion(class_loss=class_loss)
    together = criterion.denoising([StageOutput(logits, boxes, None, num_sets=2)], TARGETS, SIZES)
    first, second = logits.detach()[:1], logits.detach()[1:, ::3]  # of sets of three, the first of each
    alone = [
        criterion.denoising([StageOutput(part, its_boxes, None, num_sets=2)], [target], size[None])
        for part, its_boxes, target, size in zip((first, second), (boxes[:1], boxes[1:, ::3]), TARGETS, SIZES)
    ]
    for name, loss in together.items():
        torch.testing.assert_close(loss, (3 * alone[0][name] + alone[1][name]) / 4)
    sum(together.values()).backward()
    assert (logits.grad[0] != 0).all()
    assert ((logits.grad[1] != 0).any(-1) == (torch.arange(12) % 3 == 0)).all()


def test_of_several_sets_the_losses_are_the_mean():
    parts = [
        StageOutput(torch.randn(2, 6, NUM_CLASSES), BOXES.float().repeat(2, 2, 1) + torch.randn(2, 6, 4), None)
        for _ in range(3)
    ]
    whole = StageOutput(*(torch.cat([part[i] for part in parts], dim=1) for i in (0, 1)), None, num_sets=3)
    found = SetCriterion().denoising([whole], TARGETS, SIZES.float())
    for name, loss in found.items():
        each = [SetCriterion().denoising([part], TARGETS, SIZES.float())[name] for part in parts]
        torch.testing.assert_close(loss, torch.stack(each).mean())


@pytest.mark.parametrize(
    "values",
    [
        {"num_groups": 0},
        {"num_groups": 2.0},
        {"box_noise": 0},
        {"box_noise": 1.5},
        {"label_noise": -0.1},
        {"box_noise": "0.4"},
        {"label_noise": None},
    ],
    ids=str,
)
def test_a_wrong_value_is_named(values):
    (name, value) = next(iter(values.items()))
    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        Denoising(NUM_CLASSES, DIM, **values)
