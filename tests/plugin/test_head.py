"""The head in mmdet's detector: sizes, post-processing, configs, and mmengine's initialisation."""

from __future__ import annotations

import logging

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from references.small import SHAPE, randomise
from torch import Tensor, nn

from lors_det.errors import InputError
from lors_det.plugin.head import AdaMixerHead
from lors_det.plugin.neck import SharedNormNeck

DECODER = dict(share=(0, 0, 0), adaptive_rank=2, adaptive_groups=(1, 1, 2), static_rank=2, **SHAPE)


def head(**changes) -> AdaMixerHead:
    return AdaMixerHead(**{"num_classes": 3, "num_queries": 5, "decoder": dict(DECODER), **changes})


def levels(num_images: int = 2) -> tuple[Tensor, ...]:
    return tuple(torch.randn(num_images, 16, 64 // s, 64 // s) for s in (4, 8, 16, 32))


def sample(height: int = 60, width: int = 50, factor: tuple[float, float] = (1.0, 1.0), count: int = 2):
    corner = torch.rand(count, 2) * 20
    truth = InstanceData(bboxes=torch.cat([corner, corner + 10], 1), labels=torch.randint(0, 3, (count,)))
    info = dict(img_shape=(height, width), pad_shape=(64, 64), batch_input_shape=(64, 64), scale_factor=factor)
    return DetDataSample(metainfo=info, gt_instances=truth)


def test_detections_are_the_best_scores_of_the_last_stage():
    model, features = randomise(head()).eval(), levels()
    samples = [sample(), sample(40, 64, factor=(2.0, 0.5))]
    with torch.no_grad():
        results = model.predict(features, samples)
        last = model(features, samples)[-1]
        all_scores = last.logits.sigmoid()  # at once: a vectorised sigmoid rounds by where an entry lies
    for image, (result, factor) in enumerate(zip(results, ((1.0, 1.0), (2.0, 0.5)))):
        scores = all_scores[image]
        expected = sorted(
            ((scores[q, n].item(), q, n) for q in range(5) for n in range(3)), key=lambda entry: -entry[0]
        )[:5]
        assert result.scores.tolist() == [entry[0] for entry in expected]
        assert result.labels.tolist() == [entry[2] for entry in expected]
        boxes = last.boxes_xyxy[image, [entry[1] for entry in expected]] / torch.tensor(factor * 2)
        torch.testing.assert_close(result.bboxes, boxes)


@pytest.mark.parametrize("recollect_from", [None, 1])
def test_denoising_changes_neither_the_other_losses_nor_the_detections(recollect_from):
    """Queries that detect do not see the disturbed objects, and their matching does not either."""
    features, samples = [level.double() for level in levels()], [sample(), sample(40, 64, count=1)]
    decoder = dict(DECODER, recollect_from=recollect_from)
    torch.manual_seed(0)
    plain = randomise(head(decoder=decoder)).double()
    noisy = head(decoder=decoder, denoising=dict(num_groups=2)).double()
    missing = noisy.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys == ["denoising.content"]
    alone, together = plain.loss(features, samples), noisy.loss(features, samples)
    detecting = {name: together.pop(name) for name in alone}
    for name, loss in alone.items():
        torch.testing.assert_close(detecting[name], loss, rtol=1e-9, atol=1e-9)
    assert not torch.autograd.grad(sum(detecting.values()), noisy.denoising.content, retain_graph=True)[0].any()
    assert together.keys() == {name.replace(".", ".dn_") for name in alone}
    assert all(loss.isfinite() for loss in together.values())
    sum(together.values()).backward()
    assert not noisy.queries.content.grad.any()
    assert noisy.denoising.content.grad.abs().sum() > 0
    with torch.no_grad():
        for one, other in zip(plain.eval().predict(features, samples), noisy.eval().predict(features, samples)):
            assert torch.equal(one.bboxes, other.bboxes)
            assert torch.equal(one.scores, other.scores)


def test_selected_queries_start_at_cells_and_add_a_loss():
    features, samples = levels(), [sample(), sample(40, 64, count=1)]
    model = randomise(head(query_start="selected"))
    losses = model.loss(features, samples)
    assert {name for name in losses if not name.startswith("s0.")} >= {"selection.loss_cls", "s2.loss_cls"}
    assert len(losses) == 3 * (3 + 1)
    sum(losses.values()).backward()
    assert all(part.grad is not None for part in model.parameters())  # which several processes ask for
    with torch.no_grad():
        state = model.queries(torch.tensor([[50.0, 60.0], [64.0, 40.0]]))
        first = model.decoder(features, model.selection(features, state, torch.tensor([[50.0, 60], [64, 40]]))[0])
        for image, result in enumerate(model.eval().predict(features, samples)):
            best = first[-1].logits[image].sigmoid().flatten().sort(descending=True).values[:5]
            torch.testing.assert_close(result.scores, best)


def test_a_selection_that_diverges_is_blamed_itself():
    model = head(query_start="selected")
    nn.init.constant_(model.selection.regress[2].bias, float("nan"))  # which the stages would get as positions
    with pytest.raises(FloatingPointError, match=r"^the selection of queries predicts"):
        model.loss(levels(), [sample(), sample()])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query_start": "corner"}, r"model\.bbox_head\.query_start: start is 'corner'"),
        ({"denoising": dict(num_groups=0)}, r"model\.bbox_head\.denoising: num_groups=0"),
        ({"denoising": dict(groups=2)}, r"model\.bbox_head\.denoising: .*groups"),
        ({"criterion": dict(gamma=1)}, r"model\.bbox_head\.criterion: .*unexpected keyword argument 'gamma'"),
        ({"criterion": dict(class_loss="iou")}, r"model\.bbox_head\.criterion: class_loss='iou'"),
        ({"criterion": dict(queries_per_object=(2, 1))}, r"model\.bbox_head\.criterion: .* 2 values for 3 stages"),
    ],
)
def test_recipes_that_are_wrong_are_named(changes, words):
    with pytest.raises(InputError, match=words):
        head(**changes)


def test_without_rescale_boxes_are_pixels_of_the_input():
    model, features, samples = randomise(head()).eval(), levels(1), [sample(factor=(2.0, 2.0))]
    with torch.no_grad():
        scaled, plain = (model.predict(features, samples, rescale=rescale)[0] for rescale in (True, False))
    torch.testing.assert_close(scaled.bboxes * 2, plain.bboxes)


def test_first_boxes_are_the_image_before_padding():
    model = head()
    with torch.no_grad():
        boxes = model(levels(), [sample(60, 50), sample(40, 64)])[0].boxes_xyxy
        whole = model(levels())[0].boxes_xyxy
    for image, (width, height) in enumerate([(50.0, 60.0), (64.0, 40.0)]):
        torch.testing.assert_close(boxes[image, 0], torch.tensor([0, 0, width, height]), atol=1e-3, rtol=0)
    torch.testing.assert_close(whole[0, 0], torch.tensor([0, 0, 64.0, 64.0]), atol=1e-3, rtol=0)


def test_without_a_scale_factor_it_follows_from_the_sizes():
    model, features = randomise(head()).eval(), levels(1)
    resized, unscaled = sample(60, 50), sample(60, 50)
    for one in (resized, unscaled):
        del one.scale_factor
    resized.set_metainfo(dict(ori_shape=(120, 25)))
    with torch.no_grad():
        scaled, plain = (model.predict(features, [one])[0] for one in (resized, unscaled))
    torch.testing.assert_close(scaled.bboxes, plain.bboxes / torch.tensor([2.0, 0.5, 2.0, 0.5]))


def test_max_per_img_may_differ_from_the_queries():
    assert head().max_per_img == 5
    model = head(test_cfg=dict(max_per_img=100)).eval()
    assert len(model.predict(levels(1), [sample()])[0]) == 15  # all there are


def test_losses_are_named_by_stage():
    losses = head().loss(levels(), [sample(), sample(count=0)])
    assert list(losses) == [f"s{i}.loss_{kind}" for i in range(3) for kind in ("cls", "bbox", "iou")]
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_gives_finite_losses_and_gradients(dtype):
    model, samples = randomise(head()), [sample(), sample(count=0)]
    features = [level.to(dtype) for level in levels()]
    with torch.autocast("cpu", dtype):
        losses = model.loss(features, samples)
    exact = model.loss([level.float() for level in features], samples)
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    total, expected = sum(losses.values()), sum(exact.values())
    assert (total - expected).abs() < 0.02 * expected
    total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_arguments_are_not_changed():
    decoder, test_cfg = dict(DECODER), dict(max_per_img=7)
    head(decoder=decoder, test_cfg=test_cfg)
    assert decoder == DECODER
    assert test_cfg == dict(max_per_img=7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": None}, "num_classes is not set"),
        ({"num_queries": 0}, "num_queries is 0"),
        ({"num_queries": 5.0}, "num_queries is 5.0; it must be 1 or more"),
        ({"test_cfg": dict(max_per_img=0)}, "max_per_img is 0; it must be a positive integer, or None"),
        ({"test_cfg": dict(max_per_img=-1)}, "max_per_img is -1"),
        ({"decoder": dict(DECODER, num_points=0)}, "num_points=0; it must be a positive integer"),
        ({"test_cfg": dict(max_per_image=3)}, r"unknown keys \['max_per_image'\]"),
        ({"test_cfg": dict(clip_boxes=1)}, "clip_boxes is 1; it must be True or False"),
        ({"decoder": dict(DECODER, ranks=3)}, "bbox_head.decoder: .*'ranks'"),
        ({"decoder": dict(DECODER, adaptive_groups=(1, 1))}, "bbox_head.decoder: .* has 2 values for 3 stages"),
    ],
)
def test_wrong_configs_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        head(**changes)


def test_the_neck_shares_one_norm():
    neck = SharedNormNeck([3, 5], 8, num_norm_groups=2)
    assert [name for name, _ in neck.named_parameters() if "norm" in name] == ["norm.weight", "norm.bias"]
    features = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    for out, lateral, feature in zip(neck(features), neck.laterals, features):
        torch.testing.assert_close(out, nn.functional.group_norm(lateral(feature), 2))
    with pytest.raises(ValueError, match=r"in_channels is \[3, 5\], but the backbone gives 1 levels of \[3\]"):
        neck(features[:1])


def test_mmengine_leaves_the_initialisation_alone(root, monkeypatch, tmp_path):
    """Runner calls ``init_weights`` on the whole detector."""
    from lors_det.plugin.config.reading import load_config

    monkeypatch.chdir(tmp_path)  # away from the data, so that 6 classes need no file
    cfg = load_config(next(root.glob("configs/shapes/lors-adamixer_*.py")), {"model.bbox_head.num_classes": 6})
    model = MODELS.build(cfg.model)
    ours = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("backbone.")}
    logging.disable(logging.INFO)  # it lists every parameter
    model.init_weights()
    logging.disable(logging.NOTSET)
    state = model.state_dict()
    assert len(ours) > 100
    assert all(torch.equal(state[name], value) for name, value in ours.items())


def test_boxes_are_clipped_to_the_image_where_the_config_says_so():
    """At the network's image, of each one's own size, before they are scaled back."""
    published = randomise(head()).eval()
    clipping = head(test_cfg=dict(clip_boxes=True)).eval()
    clipping.load_state_dict(published.state_dict())
    features, samples = levels(), [sample(60, 50, factor=(2.0, 0.5)), sample(40, 64)]
    with torch.no_grad():
        free, clipped = (model.predict(features, samples) for model in (published, clipping))
    for before, after, (width, height) in zip(free, clipped, ((25.0, 120.0), (64.0, 40.0))):
        limits = torch.tensor([width, height] * 2)
        assert (before.bboxes < 0).any()
        assert (before.bboxes > limits).any()
        assert torch.equal(after.bboxes, before.bboxes.clamp(min=0).minimum(limits))
        assert torch.equal(after.scores, before.scores)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_named_with_denoising_too(label):
    """By all processes together: one that raised before would leave the others waiting."""
    model = randomise(head(denoising=dict(num_groups=2)))
    wrong = sample()
    wrong.gt_instances.labels[1] = label
    with pytest.raises(ValueError, match=r"targets of image 1 .* have a label that is no class of the model"):
        model.loss(levels(), [sample(), wrong])


@pytest.mark.parametrize("number", [0, -2, "3", 2.0, True])
def test_a_wrong_number_of_classes_is_named(number):
    with pytest.raises(InputError, match=r"config key model\.bbox_head\.num_classes is .*; it must be 1 or more"):
        head(num_classes=number)
