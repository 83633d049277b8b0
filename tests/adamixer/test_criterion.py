"""Matching and losses: properties, edge cases and the definition written out."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from lors_det.adamixer import QueryState, StageOutput
from lors_det.adamixer import criterion as criterion_module
from lors_det.adamixer.class_loss import ClassLoss
from lors_det.adamixer.criterion import SetCriterion
from lors_det.adamixer.matching import match
from lors_det.adamixer.target import Target

SIZES = torch.tensor([[80.0, 60.0], [64.0, 48.0]])


def boxes(*shape: int) -> Tensor:
    corner = torch.rand(*shape, 2) * 30
    return torch.cat([corner, corner + 5 + torch.rand(*shape, 2) * 25], dim=-1)


def output(num_images: int = 2, num_queries: int = 6, num_classes: int = 3) -> StageOutput:
    logits = torch.randn(num_images, num_queries, num_classes, requires_grad=True)
    predicted = boxes(num_images, num_queries).requires_grad_()
    return StageOutput(logits, predicted, QueryState(logits, predicted))


def target(count: int, num_classes: int = 3) -> Target:
    return Target(boxes(count), torch.randint(0, num_classes, (count,)))


def giou(a: Tensor, b: Tensor) -> float:
    """Of two boxes, written out."""
    x1, y1, x2, y2 = (float(v) for v in a)
    u1, v1, u2, v2 = (float(v) for v in b)
    inter = max(0.0, min(x2, u2) - max(x1, u1)) * max(0.0, min(y2, v2) - max(y1, v1))
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - inter
    hull = (max(x2, u2) - min(x1, u1)) * (max(y2, v2) - min(y1, v1))
    return inter / union - (hull - union) / hull


def iou(a: Tensor, b: Tensor) -> float:
    x1, y1, x2, y2 = (float(v) for v in a)
    u1, v1, u2, v2 = (float(v) for v in b)
    inter = max(0.0, min(x2, u2) - max(x1, u1)) * max(0.0, min(y2, v2) - max(y1, v1))
    return inter / ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - inter)


def class_loss_of(kind: str, p: float, quality: float | None) -> float:
    """Of one score, as the papers write it; quality is that of a matched query's class."""
    if kind == "focal":
        return -0.25 * (1 - p) ** 2 * math.log(p) if quality is not None else -0.75 * p**2 * math.log(1 - p)
    if kind == "varifocal":
        if not quality:  # matched, but beside the object, too
            return -0.75 * p**2 * math.log(1 - p)
        return -quality * (quality * math.log(p) + (1 - quality) * math.log(1 - p))
    if quality is None:
        return -(p**1.5) * math.log(1 - p)
    return -(quality**1.5) * math.log(p) - (1 - quality**1.5) * math.log(1 - p)


def plain_losses(stage: StageOutput, targets: list[Target], kind: str = "focal", times: int = 1) -> dict[str, float]:
    """The definition in loops, with the assignment found by trying all of them."""
    if times > 1:
        targets = [Target(boxes.repeat(times, 1), labels.repeat(times)) for boxes, labels in targets]
    cls = l1_sum = giou_sum = 0.0
    num_matched = 0
    for image, (true, labels) in enumerate(targets):
        whwh = SIZES[image].repeat(2)
        score = stage.logits[image].detach().double().sigmoid()
        predicted = stage.boxes_xyxy[image].detach()

        def pair_cost(q, n, score=score, predicted=predicted, true=true, labels=labels, whwh=whwh):
            p = score[q, labels[n]].item()
            focal = (
                0.25 * (1 - p) ** 2 * -torch.tensor(p + 1e-12).log() - 0.75 * p**2 * -torch.tensor(1 - p + 1e-12).log()
            )
            l1 = ((predicted[q] - true[n]) / whwh).abs().sum()
            return float(2 * focal + 5 * l1 - 2 * giou(predicted[q], true[n]))

        best = min(
            itertools.permutations(range(len(score)), len(labels)),
            key=lambda queries: sum(pair_cost(q, n) for n, q in enumerate(queries)),
        )
        quality: dict[tuple[int, int], float] = {}
        for n, q in enumerate(best):
            quality[q, int(labels[n])] = iou(predicted[q], true[n])
            l1_sum += float(((predicted[q] - true[n]) / whwh).abs().sum())
            giou_sum += 1 - giou(predicted[q], true[n])
        num_matched += len(best)
        for q, c in itertools.product(*map(range, score.shape)):
            cls += class_loss_of(kind, score[q, c].item(), quality.get((q, c)))
    average = max(1, num_matched)
    return {"loss_cls": 2 * cls / average, "loss_bbox": 5 * l1_sum / average, "loss_iou": 2 * giou_sum / average}


@pytest.mark.parametrize("kind", get_args(ClassLoss))
@pytest.mark.parametrize("times", [1, (2, 3, 1)])
def test_losses_are_their_definition(kind, times):
    """With one query for each object, and with several in the first stages."""
    stages, targets = [output(num_queries=5) for _ in range(3)], [target(3 if times == 1 else 1), target(1)]
    losses = SetCriterion(class_loss=kind, queries_per_object=times)(stages, targets, SIZES)
    for i, stage in enumerate(stages):
        own = times if isinstance(times, int) else times[i]
        for name, expected in plain_losses(stage, targets, kind, own).items():
            assert losses[f"s{i}.{name}"].item() == pytest.approx(expected, rel=1e-4), (i, name)


def test_of_several_sets_the_losses_are_the_sum():
    """Each matched by itself; a stage with one set beside it."""
    one, three, targets = output(), output(num_queries=18), [target(3), target(2)]
    three = three._replace(num_sets=3)
    together = SetCriterion()([one, three], targets, SIZES)
    parts = [
        SetCriterion()([one, StageOutput(logits, boxes, None)], targets, SIZES)
        for logits, boxes in zip(three.logits.split(6, dim=1), three.boxes_xyxy.split(6, dim=1))
    ]
    for name in ("loss_cls", "loss_bbox", "loss_iou"):
        torch.testing.assert_close(together[f"s0.{name}"], parts[0][f"s0.{name}"])
        total = torch.stack([part[f"s1.{name}"] for part in parts]).sum()
        torch.testing.assert_close(together[f"s1.{name}"], total)


def test_targets_of_fewer_images_are_refused():
    with pytest.raises(ValueError, match="targets of 1 images came with outputs of 2"):
        SetCriterion()([output()], [target(3)], SIZES)


def test_a_fault_in_a_set_names_its_stage():
    one, two = output(), output(num_queries=12)._replace(num_sets=2)
    with torch.no_grad():
        two.logits[1, 9] = torch.nan
    with pytest.raises(FloatingPointError, match=r"stage 1 predicts .* for image 1 of the batch"):
        SetCriterion()([one, two], [target(3), target(2)], SIZES)


@pytest.mark.parametrize("kind", get_args(ClassLoss))
def test_quality_sends_no_gradient_to_the_boxes(kind):
    """The class loss moves scores; boxes have losses of their own."""
    stage = output()
    SetCriterion(class_loss=kind)([stage], [target(3), target(2)], SIZES)["s0.loss_cls"].backward()
    assert stage.boxes_xyxy.grad is None or not stage.boxes_xyxy.grad.any()


def test_several_queries_for_each_object_where_there_are_too_few(monkeypatch):
    """As many as there are, the same for all: no object goes without one because another has several."""
    costs = torch.rand(1, 2, 7, 3)
    costs[0, 0, :, 2] += 100  # nothing is near this one
    stage = output(num_queries=7)
    criterion = SetCriterion(queries_per_object=(4, 1))
    monkeypatch.setattr(
        criterion_module, "matching_cost", lambda logits, *_, **__: costs.expand(len(logits), -1, -1, -1)
    )
    losses = criterion([stage, stage], [target(3), target(1)], SIZES)
    losses["s0.loss_bbox"].backward()
    matched = stage.boxes_xyxy.grad.abs().sum(-1).bool().sum(-1)
    assert matched.tolist() == [6, 4]  # two for each of three objects, and four for one


def test_every_object_has_its_queries():
    cost = torch.rand(1, 1, 9, 4)
    cost[..., 3] += 100
    matches = match(cost, torch.zeros(1, 3), [4], [[2]], [0])
    assert matches.target.bincount().tolist() == [2, 2, 2, 2]
    assert len(matches.query.unique()) == 8


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"class_loss": "quality"}, "class_loss='quality'; choose from focal, varifocal, matchability"),
        ({"queries_per_object": 0}, "queries_per_object=0"),
        ({"queries_per_object": (4, 1.5, 1)}, r"queries_per_object=\(4, 1.5, 1\)"),
        ({"queries_per_object": True}, "queries_per_object=True"),
        ({"queries_per_object": None}, "queries_per_object=None"),
        ({"queries_per_object": 1.0}, "queries_per_object=1.0"),
        ({"class_weight": -1}, "class_weight=-1; it must be a number from 0 on"),
        ({"l1_weight": "2"}, "l1_weight='2'"),
        ({"giou_weight": float("nan")}, "giou_weight=nan"),
        ({"queries_per_object": ()}, r"queries_per_object=\(\)"),
        ({"queries_per_object": 2}, "the last stage must have 1"),
        ({"queries_per_object": (1, 2)}, "the last stage must have 1"),
    ],
)
def test_a_wrong_value_is_named(values, words):
    with pytest.raises(ValueError, match=words):
        SetCriterion(**values)


def test_a_value_for_each_stage():
    with pytest.raises(ValueError, match=r"\(2, 1\) has 2 values for 3 stages"):
        SetCriterion(queries_per_object=(2, 1)).repeats(3)
    assert SetCriterion(queries_per_object=(2, 2, 1)).repeats(3) == (2, 2, 1)
    assert SetCriterion().repeats(3) == (1, 1, 1)


def test_stages_do_not_see_each_other():
    stages, targets = [output() for _ in range(3)], [target(3), target(2)]
    together = SetCriterion()(stages, targets, SIZES)
    for i, stage in enumerate(stages):
        for name, loss in SetCriterion()([stage], targets, SIZES).items():
            torch.testing.assert_close(loss, together[name.replace("s0", f"s{i}")])


def test_an_empty_batch_has_class_losses_only():
    stage = output()
    losses = SetCriterion()([stage], [target(0), target(0)], SIZES)
    assert losses["s0.loss_cls"] > 0
    assert losses["s0.loss_bbox"] == 0
    assert losses["s0.loss_iou"] == 0
    sum(losses.values()).backward()
    assert stage.logits.grad.abs().sum() > 0
    # present, so that every process of a distributed run reduces the same gradients
    assert torch.equal(stage.boxes_xyxy.grad, torch.zeros_like(stage.boxes_xyxy))


def test_an_image_without_boxes_beside_one_with():
    stage, full = output(), target(3)
    together = SetCriterion()([stage], [full, target(0)], SIZES)
    alone = SetCriterion()([StageOutput(stage.logits[:1], stage.boxes_xyxy[:1], stage.state)], [full], SIZES[:1])
    torch.testing.assert_close(together["s0.loss_bbox"], alone["s0.loss_bbox"])
    torch.testing.assert_close(together["s0.loss_iou"], alone["s0.loss_iou"])


def test_more_targets_than_queries():
    losses = SetCriterion()([output(num_queries=2)], [target(5), target(1)], SIZES)
    assert all(loss.isfinite() for loss in losses.values())


def test_perfect_boxes_cost_nothing():
    truth = target(4)
    logits = torch.full((1, 4, 3), -20.0)
    logits[0, torch.arange(4), truth.labels] = 20.0
    order = torch.tensor([2, 0, 3, 1])
    stage = StageOutput(logits[:, order], truth.boxes_xyxy[None, order], None)
    losses = SetCriterion()([stage], [truth], SIZES[:1])
    assert all(loss.abs() < 1e-5 for loss in losses.values())


@pytest.mark.parametrize("label", [-1, 3])
def test_targets_that_are_none_are_not_the_models_fault(label):
    good, outputs = target(2), [output() for _ in range(2)]
    for wrong, words in (
        (good._replace(boxes_xyxy=good.boxes_xyxy * torch.tensor(float("nan"))), "a box that is not finite"),
        (good._replace(labels=torch.tensor([0, label])), "a label that is no class of the model, from 0 on"),
    ):
        with pytest.raises(ValueError, match=f"targets of image 1 of the batch have {words}"):
            SetCriterion()(outputs, [target(3), wrong], SIZES)
    with pytest.raises(ValueError, match="image_sizes of 1 images came with targets of 2"):
        SetCriterion()(outputs, [good, good], SIZES[:1])
    broken = outputs[0]._replace(logits=outputs[0].logits * float("nan"))
    with pytest.raises(FloatingPointError, match=r"stage 0 predicts .* for image 0 of the batch"):
        SetCriterion()([broken, outputs[1]], [target(3), good], SIZES)


def test_one_copy_to_the_host_for_all_stages_and_images(monkeypatch):
    copies = []
    for name in ("cpu", "item", "tolist", "numpy", "__bool__", "__float__", "__int__"):
        method = getattr(Tensor, name)

        def counted(self, *args, method=method, name=name, **kwargs):
            if name != "numpy":  # it follows the copy, and copies nothing itself
                copies.append((name, tuple(self.shape)))
            return method(self, *args, **kwargs)

        monkeypatch.setattr(Tensor, name, counted)
    SetCriterion()([output() for _ in range(4)], [target(3), target(2)], SIZES)
    assert copies == [("cpu", (4 * 2 * 6 * 3 + 3,))]  # costs, and where one is not finite


@pytest.mark.parametrize("counts", [(2, 2), (2, 0), (0, 0)])
@pytest.mark.parametrize("part", ["logits", "boxes_xyxy"])
def test_divergence_is_named(counts, part):
    """Also where no target asks for the class, or there is no target at all."""
    stages = [output() for _ in range(2)]
    with torch.no_grad():
        getattr(stages[1], part)[1, 0, 2] = float("nan")
    targets = [Target(boxes(count), torch.zeros(count, dtype=torch.long)) for count in counts]
    with pytest.raises(FloatingPointError, match=r"stage 1 .* image 1 of the batch"):
        SetCriterion()(stages, targets, SIZES)


@pytest.mark.parametrize("num_queries", [2, 6], ids=["fewer queries", "more queries"])
def test_the_order_of_targets_and_queries_changes_no_loss(num_queries):
    stages, targets = [output(num_queries=num_queries) for _ in range(2)], [target(5), target(3)]
    losses = SetCriterion()(stages, targets, SIZES)
    orders = [torch.tensor([3, 0, 4, 2, 1]), torch.tensor([2, 0, 1])]
    permuted = [Target(*(values[order] for values in each)) for each, order in zip(targets, orders)]
    queries = torch.arange(num_queries).flip(0)
    turned = [StageOutput(s.logits[:, queries], s.boxes_xyxy[:, queries], None) for s in stages]
    for other in (SetCriterion()(stages, permuted, SIZES), SetCriterion()(turned, targets, SIZES)):
        for name, loss in losses.items():
            torch.testing.assert_close(other[name], loss, rtol=1e-5, atol=1e-6, msg=name)


def test_an_image_without_boxes_is_not_judged_by_the_others_targets():
    """Far boxes are finite, though their costs would not be; the image has nothing to match them with."""
    stage = output()
    with torch.no_grad():
        stage.boxes_xyxy[0, 0] = 1e30
    losses = SetCriterion()([stage], [target(0), target(2)], SIZES)
    assert all(loss.isfinite() for loss in losses.values())


def test_half_precision_is_computed_in_float32():
    stage, targets = output(), [target(3), target(2)]
    half = StageOutput(stage.logits.bfloat16(), stage.boxes_xyxy, stage.state)
    losses = SetCriterion()([half], targets, SIZES)
    exact = SetCriterion()([StageOutput(half.logits.float(), half.boxes_xyxy, None)], targets, SIZES)
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    assert all(torch.equal(loss, exact[name]) for name, loss in losses.items())
