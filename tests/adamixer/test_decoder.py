"""The decoder as a structure: what is shared, what is private, what depends on what."""

from __future__ import annotations

import copy
import dataclasses
from contextlib import nullcontext

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from references.small import (
    NUM_CLASSES,
    SHAPE,
    VARIANTS,
    adamixer_decoder,
    inputs,
    lors_decoder,
    randomise,
)
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lors_det.adamixer import Decoder, DecoderSpec, QuerySets, QueryState
from lors_det.adamixer.sharing import LAYERS
from lors_det.ops import FeatureBank
from lors_det.reports.decoders import summarise

KERNELS = [f"mixing.{kernel}.{kind}" for kernel in ("channel", "spatial") for kind in ("weight", "bias")]


def run(decoder: Decoder, seed: int = 1) -> list[Tensor]:
    """Logits and boxes of every stage, for fixed inputs."""
    torch.manual_seed(seed)
    levels, state = inputs()
    with torch.no_grad():
        return [torch.cat([output.logits, output.boxes_xyxy], -1) for output in decoder(levels, state)]


def equal(left: list[Tensor], right: list[Tensor]) -> list[bool]:
    """Whether the results of each stage are the same bits."""
    return [torch.equal(ours, theirs) for ours, theirs in zip(left, right, strict=True)]


def move(decoder: Decoder, name: str, change: Tensor) -> None:
    with torch.no_grad():
        decoder.get_parameter(name).add_(change)


def folded(lors: Decoder) -> Decoder:
    """The plain per-stage decoder that computes what a LORS decoder computes."""
    plain = Decoder(NUM_CLASSES, lors.spec.folded()).double()
    plain.load_state_dict(lors.folded_state())
    assert not any(entry.shared for entry in plain.ledger())
    return plain


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("num_queries", [3, 20], ids=["few", "many"])
def test_lors_equals_its_folded_self(variant, num_queries):
    lors = randomise(lors_decoder(**VARIANTS[variant])).double()
    plain = folded(lors)
    levels, state = inputs(num_queries=num_queries)
    results = []
    for decoder in (lors, plain):
        leaves = [tensor.clone().requires_grad_() for tensor in (*levels, *state)]
        outputs = decoder(leaves[:4], QueryState(*leaves[4:]))
        values = [tensor for output in outputs for tensor in (output.logits, output.boxes_xyxy)]
        results.append([*values, *torch.autograd.grad(sum(value.sin().sum() for value in values), leaves)])
    for left, right in zip(*results):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


def test_lors_starts_equal_to_its_base():
    lors = lors_decoder().double()
    shared = adamixer_decoder(share=(0, 0, 0)).double()
    state = {name: lors.state_dict().get(name, torch.zeros(SHAPE["dim"])) for name in shared.state_dict()}
    shared.load_state_dict(state)
    for left, right in zip(run(lors), run(shared)):
        assert torch.equal(left, right)


def test_shared_layers_start_equal_to_their_base():
    """Every stage of LORS+ folds to the base's own weights, and to the offsets that a stage of its own starts with."""
    lors = lors_decoder(layer_rank=2)
    state, base = lors.folded_state(), lors.stack.bases[0]
    weights = ["mixing.channel.weight", "mixing.spatial.weight", "mixing.out.weight", *(f"{x}.weight" for x in LAYERS)]
    assert {*weights, *KERNELS} == {name for name, _ in base.named_parameters()}
    for stage in range(3):
        for name in weights:
            assert torch.equal(state[f"stack.stages.{stage}.{name}"], base.get_parameter(name)), name
        alone = adamixer_decoder().stack[stage].sampling.offsets
        assert torch.equal(state[f"stack.stages.{stage}.sampling.offsets.bias"], alone.bias)
        assert not state[f"stack.stages.{stage}.sampling.offsets.weight"].any()


def test_private_only_learns_from_its_start():
    """At zero residuals nothing would pass the mixing, and nothing would ever change that."""
    decoder = lors_decoder(share=(None, None, None)).double()
    levels, state = inputs()
    optimiser = torch.optim.SGD(decoder.parameters(), lr=0.1)
    before = {name: parameter.detach().clone() for name, parameter in decoder.named_parameters()}
    for _ in range(2):  # the weights before a zero weight follow in the second step
        optimiser.zero_grad()
        outputs = decoder(levels, state)
        sum(output.logits.sin().sum() + output.boxes_xyxy.sin().sum() for output in outputs).backward()
        optimiser.step()
    assert not list(decoder.stack.bases.parameters())
    still = [name for name, parameter in decoder.named_parameters() if torch.equal(parameter, before[name])]
    assert still == []


def test_every_parameter_is_stored_once():
    lors = lors_decoder()
    keys = list(lors.state_dict())
    parameters = list(lors.parameters())
    assert len(keys) == len(parameters) == len({parameter.data_ptr() for parameter in parameters})
    base = [*KERNELS, "mixing.out.weight"]
    factors = [
        f"mixing.{kernel}.{name}"
        for kernel in ("channel", "spatial")
        for name in ("left", "right", "core.weight", "core.bias")
    ]
    residuals = [*factors, "mixing.out.weight.down", "mixing.out.weight.up"]
    private = ["mixing.out.bias", "mixing.norm.weight", "mixing.norm.bias"]
    assert {key for key in keys if "mixing" in key or ".stages." not in key} == {
        *(f"stack.bases.0.{name}" for name in base),
        *(f"stack.residuals.{i}.{name}" for i in range(3) for name in residuals),
        *(f"stack.stages.{i}.{name}" for i in range(3) for name in private),
    }
    plain = {name.split(".", 3)[3] for name in adamixer_decoder().state_dict()}
    own = [{key.split(".", 3)[3] for key in keys if key.startswith(f"stack.stages.{i}.")} for i in range(3)]
    assert own[0] == own[1] == own[2] == plain - {*base}
    assert len(keys) == len(base) + 3 * (len(residuals) + len(own[0]))


def test_ledger_tells_the_users():
    lors = lors_decoder(share=(0, 0, 1))
    entries = {entry.name: entry for entry in lors.ledger()}
    assert entries.keys() == lors.state_dict().keys()
    assert entries["stack.bases.0.mixing.out.weight"].users == (0, 1)
    assert entries["stack.bases.1.mixing.out.weight"].users == (2,)
    assert entries["stack.residuals.1.mixing.out.weight.up"].users == (1,)
    assert entries["stack.residuals.1.mixing.out.weight.up"].component == "mixing"
    summary = summarise(lors.ledger())
    assert summary["shared"] == sum(parameter.numel() for parameter in lors.stack.bases[0].parameters())
    assert summary["total"] == sum(parameter.numel() for parameter in lors.parameters())


def test_ledger_tells_the_component_of_shared_layers():
    entries = {entry.name: entry for entry in lors_decoder(layer_rank=2).ledger()}
    shared = {name.removeprefix("stack.bases.0."): entry for name, entry in entries.items() if ".bases." in name}
    assert {name: entry.component for name, entry in shared.items()} == {
        **dict.fromkeys((*KERNELS, "mixing.out.weight"), "mixing"),
        **dict.fromkeys(("attention.qkv.weight", "attention.out.weight"), "attention"),
        **dict.fromkeys(("ffn.layers.0.weight", "ffn.layers.2.weight"), "ffn"),
        "sampling.offsets.weight": "sampling",
    }
    assert {entry.users for entry in shared.values()} == {(0, 1, 2)}


@pytest.mark.parametrize("changes", [{}, {"layer_rank": 2}, {"share": (None, 0, 0)}], ids=str)
def test_the_ledger_is_true(changes):
    """Moving a parameter moves the predictions of its users and no stage before the first of them."""
    lors = randomise(lors_decoder(**{"share": (0, 1, 0), **changes})).double()
    before = run(lors)
    for entry in lors.ledger():
        parameter = lors.get_parameter(entry.name)
        saved = parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter))
        changed = [not torch.equal(left, right) for left, right in zip(before, run(lors))]
        with torch.no_grad():
            parameter.copy_(saved)
        first = min(entry.users)
        assert not any(changed[:first]), entry.name
        assert changed[first], entry.name


def test_a_base_gets_the_sum_of_its_users_gradients():
    lors = randomise(lors_decoder()).double()
    plain = folded(lors)
    for decoder in (lors, plain):
        torch.manual_seed(1)
        levels, state = inputs()
        sum(output.logits.sin().sum() for output in decoder(levels, state)).backward()
    for name in (*KERNELS, "mixing.out.weight"):
        total = sum(stage.get_parameter(name).grad for stage in plain.stack.stages)
        found = lors.stack.bases[0].get_parameter(name).grad
        torch.testing.assert_close(found, total, rtol=1e-9, atol=1e-9)


def test_mixing_of_a_decoder_that_shares_nothing_may_start_equal():
    """As in LORS, whose stages have all else of their own; each learns by itself, and the first starts the same."""
    starts = []
    for equal in (False, True):
        torch.manual_seed(0)
        starts.append(adamixer_decoder(equal_start=equal).stack.stages)
    own, equal = starts
    for number, stage in enumerate(equal):
        for name, value in stage.mixing.state_dict().items():
            assert torch.equal(value, own[0].mixing.state_dict()[name])
        others = {name: value for name, value in stage.state_dict().items() if not name.startswith("mixing.")}
        assert all(torch.equal(value, own[number].state_dict()[name]) for name, value in others.items())
    assert not torch.equal(own[0].mixing.channel.bias, own[1].mixing.channel.bias)
    assert equal[0].mixing.channel.bias is not equal[1].mixing.channel.bias


def test_stages_that_share_a_base_may_start_different():
    """Their corrections alone differ, and learn to the last parameter from the first step on."""
    starts = []
    for start in (0, 1.0):
        torch.manual_seed(0)
        starts.append(lors_decoder(residual_start=start, layer_rank=1))
    equal, different = starts
    for name, base in equal.stack.bases[0].named_parameters():
        assert torch.equal(different.stack.bases[0].get_parameter(name), base)
    of_stages = [different.stack.weights(number) for number in (0, 1)]
    for name, weight in equal.stack.weights(0).items():
        assert torch.equal(equal.stack.weights(1)[name], weight), name
        zero = not weight.any()  # the generators' weights, for a weight of a stage's own starts at zero too
        assert torch.equal(of_stages[0][name], weight) if zero else not torch.allclose(*(w[name] for w in of_stages))
    levels, state = inputs()
    sum(output.logits.sin().sum() for output in different.double()(levels, state)).backward()
    learns = {name for name, value in different.named_parameters() if ".residuals." in name and value.grad.any()}
    assert learns >= {
        name for name, _ in different.named_parameters() if name.endswith((".left", ".right", ".core.bias"))
    }


def test_a_base_may_get_their_mean():
    """Of a grouped decoder: bases with two users and with one. Nothing else changes."""
    grads = []
    for mean in (False, True):
        torch.manual_seed(0)
        decoder = randomise(lors_decoder(share=(0, 1, 0), mean_gradient=mean)).double()
        levels, state = inputs()
        sum(output.logits.sin().sum() for output in decoder(levels, state)).backward()
        grads.append({name: each.grad for name, each in decoder.named_parameters() if each.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name, total in grads[0].items():
        users = 2 if name.startswith("stack.bases.0.") else 1
        torch.testing.assert_close(grads[1][name] * users, total, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "values",
    [{}, {"recollect_from": 1}, {"look_forward_twice": True}, {"recollect_from": 2, "look_forward_twice": True}],
)
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_losses_of_the_last_stages_do_not_reach_those_before(values, stages):
    """By no way: content, positions, queries that are recollected, or those beside; others learn from their own."""
    levels, state = inputs()
    torch.manual_seed(0)
    decoder = randomise(adamixer_decoder(share=range(4), gradient_stages=stages, **values)).double()
    outputs = decoder(levels, state, beside=QuerySets(inputs(num_queries=4)[1], 2))
    last, before = outputs[-1], outputs[3 - stages]
    sum(part.logits.sum() + part.boxes_xyxy.sum() for part in (last, last.beside)).backward(retain_graph=True)
    reached = [stage.ffn.layers[0].weight.grad is not None for stage in decoder.stack]
    assert reached == [number >= 4 - stages for number in range(4)]
    decoder.zero_grad()
    before.logits.sum().backward()
    reached = [stage.ffn.layers[0].weight.grad is not None for stage in decoder.stack]
    assert reached == [number < 4 - stages for number in range(4)]


def test_the_last_output_alone_is_that_of_detection_in_training_too():
    levels, state = inputs()
    decoder = randomise(lors_decoder(recollect_from=1, query_noise=0.5)).double()
    (trained,), (evaluated,) = (decoder.train(mode)(levels, state, last_only=True) for mode in (True, False))
    assert torch.equal(trained.logits, evaluated.logits)


@pytest.mark.parametrize("values", [{}, {"recollect_from": 1}, {"look_forward_twice": True}, {"gradient_stages": 2}])
@pytest.mark.parametrize("size", [2, 5])
def test_queries_beside_are_as_alone_and_change_nothing(values, size):
    """Two sets of them, of another size and of the same, against each by itself; with gradients."""
    decoder = randomise(lors_decoder(**values)).double()
    levels, state = inputs(num_queries=5)
    _, more = inputs(num_queries=2 * size)
    together = decoder(levels, state, beside=QuerySets(more, 2))
    alone = decoder(levels, state)
    sets = [QueryState(*(part[:, first : first + size] for part in more)) for first in (0, size)]
    decoder.spec = dataclasses.replace(decoder.spec, recollect_from=None)
    apart = [decoder(levels, each) for each in sets]
    for whole, expected, *parts in zip(together, alone, *apart):
        assert (whole.num_sets, whole.beside.num_sets) == (expected.num_sets, 2)
        for name in ("logits", "boxes_xyxy", "deltas"):
            torch.testing.assert_close(getattr(whole, name), getattr(expected, name), rtol=1e-9, atol=1e-9)
            of_sets = torch.cat([getattr(part, name) for part in parts], dim=1)
            torch.testing.assert_close(getattr(whole.beside, name), of_sets, rtol=1e-9, atol=1e-9)
    weights = list(decoder.parameters())
    found, expected, of_sets = (
        torch.autograd.grad(sum(part.logits.square().sum() + part.boxes_xyxy.sum() for part in parts), weights)
        for parts in (together + [each.beside for each in together], alone, apart[0] + apart[1])
    )
    for one, *others in zip(found, expected, of_sets):
        torch.testing.assert_close(one, sum(others), rtol=1e-8, atol=1e-9)


def test_queries_beside_may_come_to_an_evaluation_too():
    decoder = randomise(lors_decoder()).double().eval()
    levels, state = inputs()
    _, more = inputs(num_queries=4)
    (whole,), (alone,), (apart,) = (
        decoder(levels, first, beside=second, last_only=True)
        for first, second in [(state, QuerySets(more, 1)), (state, None), (more, None)]
    )
    torch.testing.assert_close(whole.logits, alone.logits, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(whole.beside.logits, apart.logits, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("num_sets", [0, 3])
def test_queries_beside_have_to_make_sets(num_sets):
    decoder = lors_decoder().double()
    levels, state = inputs()
    with pytest.raises(ValueError, match=rf"num_sets={num_sets}: 4 queries do not make"):
        decoder(levels, state, beside=QuerySets(inputs(num_queries=4)[1], num_sets))


@pytest.mark.parametrize("first", [1, 2])
def test_recollected_queries_pass_a_stage_by(first):
    """Each stage's sets are what went through the stages before it, with all or without one of them, and so on."""
    decoder = randomise(lors_decoder(recollect_from=first)).double()
    levels, state = inputs()
    outputs = decoder(levels, state)

    def through(*numbers: int) -> torch.Tensor:
        bank = FeatureBank.from_levels(levels, decoder.spec.strides)
        now = state
        for number in numbers:
            output = decoder.stack[number](now, bank)
            now = output.state
        return output.logits

    paths = {
        1: [[(0,)], [(0, 1), (1,)], [(0, 1, 2), (1, 2), (0, 2)]],
        2: [[(0,)], [(0, 1)], [(0, 1, 2), (0, 2)]],
    }[first]
    for output, wanted in zip(outputs, paths):
        assert output.num_sets == len(wanted)
        for logits, path in zip(output.logits.chunk(len(wanted), dim=1), wanted):
            torch.testing.assert_close(logits, through(*path), rtol=1e-9, atol=1e-9)
    assert [each.num_sets for each in decoder.eval()(levels, state)] == [1, 1, 1]


def test_looking_forward_twice_moves_the_former_stage_too():
    """The same boxes; a loss on a stage's boxes reaches its own and the former stage's refinement, and no other."""
    levels, state = inputs()
    boxes = []
    for twice in (False, True):
        torch.manual_seed(0)
        decoder = randomise(adamixer_decoder(look_forward_twice=twice)).double()
        outputs = decoder(levels, state)
        outputs[-1].boxes_xyxy.sum().backward()
        boxes.append([output.boxes_xyxy for output in outputs])
        moved = [stage.regress[3].weight.grad is not None for stage in decoder.stack]
        assert moved == [False, twice, True]
    for plain, other in zip(*boxes):
        torch.testing.assert_close(plain, other, rtol=1e-12, atol=1e-12)


def test_noise_disturbs_contents_in_training_alone():
    levels, state = inputs(num_queries=400)
    outputs = {}
    for noise in (0.0, 0.5):
        torch.manual_seed(0)
        decoder = randomise(adamixer_decoder(query_noise=noise)).double()
        seen: list[torch.Tensor] = []
        for stage in decoder.stack.stages:
            stage.register_forward_pre_hook(lambda module, arguments, seen=seen: seen.append(arguments[0].content))
        trained = decoder(levels, state)
        evaluated = decoder.eval()(levels, state)
        outputs[noise] = trained, evaluated, seen
    plain, noisy = outputs[0.0], outputs[0.5]
    assert torch.equal(plain[1][-1].logits, noisy[1][-1].logits)  # of an evaluation, nothing
    assert torch.equal(plain[0][0].logits, noisy[0][0].logits)  # the first stage sees what comes
    added = noisy[2][1] - noisy[0][0].state.content
    spread = noisy[0][0].state.content.std(dim=-1, keepdim=True)
    assert (added / spread).std().item() == pytest.approx(0.5, rel=0.02)
    assert not torch.equal(plain[0][1].logits, noisy[0][1].logits)


def test_positions_are_detached_between_stages_and_contents_are_not():
    decoder = randomise(adamixer_decoder()).double()
    levels, state = inputs()
    last = decoder(levels, state)[-1]
    last.boxes_xyxy.sum().backward()
    assert decoder.stack[0].regress[3].weight.grad is None
    assert decoder.stack[0].ffn.layers[0].weight.grad.abs().sum() > 0


def test_every_parameter_is_used_in_every_step():
    for decoder in (adamixer_decoder(), *(lors_decoder(**changes) for changes in VARIANTS.values())):
        randomise(decoder).double()
        levels, state = inputs()
        outputs = decoder(levels, state)
        sum(output.logits.sin().sum() + output.boxes_xyxy.sin().sum() for output in outputs).backward()
        unused = [name for name, parameter in decoder.named_parameters() if parameter.grad is None]
        assert unused == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_prediction_is_the_last_output(variant):
    decoder = randomise(lors_decoder(**VARIANTS[variant])).double().eval()
    levels, state = inputs()
    with torch.no_grad():
        outputs, (predicted,) = decoder(levels, state), decoder(levels, state, last_only=True)
    last = outputs[-1]
    assert torch.equal(predicted.logits, last.logits)
    assert torch.equal(predicted.boxes_xyxy, last.boxes_xyxy)


def test_a_batch_equals_its_images():
    decoder = randomise(lors_decoder()).double()
    levels, state = inputs(num_images=3)
    together = decoder(levels, state)[-1].logits
    for image in range(3):
        alone = decoder(
            [level[image : image + 1] for level in levels], QueryState(*(t[image : image + 1] for t in state))
        )
        torch.testing.assert_close(together[image : image + 1], alone[-1].logits, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)], ids=str)
def test_a_decoder_of_half_precision_keeps_its_boxes_in_float32(dtype, bound):
    decoder = randomise(lors_decoder()).float().eval()
    levels, state = inputs()
    levels, state = [level.float() for level in levels], QueryState(*(part.float() for part in state))
    with torch.no_grad():
        expected = decoder(levels, state)
        half = QueryState(state.content.to(dtype), state.xyzr)
        found = copy.deepcopy(decoder).to(dtype)([level.to(dtype) for level in levels], half)
    for ours, theirs in zip(found, expected):
        assert (ours.logits.dtype, ours.boxes_xyxy.dtype) == (dtype, torch.float32)
        assert (ours.logits - theirs.logits).norm() < bound * theirs.logits.norm()
        assert (ours.boxes_xyxy - theirs.boxes_xyxy).norm() < bound / 10 * theirs.boxes_xyxy.norm()


@pytest.mark.parametrize("num_queries", [5, 20], ids=["few", "many"])
@pytest.mark.parametrize("variant", ["adamixer", *VARIANTS])
def test_permuting_queries_permutes_the_outputs(variant, num_queries):
    """Of every stage: a query has no place among the others."""
    decoder = adamixer_decoder() if variant == "adamixer" else lors_decoder(**VARIANTS[variant])
    randomise(decoder).double()
    levels, state = inputs(num_queries=num_queries)
    order = torch.randperm(num_queries)
    with torch.no_grad():
        straight = decoder(levels, state)
        permuted = decoder(levels, QueryState(*(tensor[:, order] for tensor in state)))
    for left, right in zip(straight, permuted):
        for ours, theirs in zip((left.logits, left.boxes_xyxy), (right.logits, right.boxes_xyxy)):
            torch.testing.assert_close(theirs, ours[:, order], rtol=1e-9, atol=1e-9)
            assert not torch.allclose(theirs, ours)


COPIES = {"deepcopy": copy.deepcopy, "average": lambda decoder: ExponentialMovingAverage(decoder).module}


@pytest.mark.parametrize("kept", [False, True], ids=["unfolded", "folded"])
@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("changes", [{}, {"share": (0, 1, 0)}, {"layer_rank": 2}], ids=str)
def test_a_copy_shares_as_its_original_does(changes, make_copy, kept):
    """And nothing with it: what a shared weight moves in one, it moves in the other only when it is moved there too.

    Nor what its original keeps folded while it is copied.
    """
    original = randomise(lors_decoder(**changes)).double()
    before = run(original)
    with original.folded() if kept else nullcontext():
        twin = make_copy(original)
    assert [(name, value.shape) for name, value in twin.named_parameters()] == [
        (name, value.shape) for name, value in original.named_parameters()
    ]
    assert not {p.data_ptr() for p in twin.parameters()} & {p.data_ptr() for p in original.parameters()}
    assert equal(run(twin), before) == [True] * 3
    for first, second in ((twin, original), (original, twin)):
        for entry in original.ledger():
            if not entry.shared:
                continue
            start = run(second)
            change = torch.randn_like(original.get_parameter(entry.name))
            move(first, entry.name, change)
            moved = run(first)
            assert not equal(moved, start)[min(entry.users)], entry.name
            assert equal(run(second), start) == [True] * 3, entry.name
            move(second, entry.name, change)
            assert equal(run(second), moved) == [True] * 3, entry.name


def test_an_average_takes_a_shared_weight_once():
    decoder = randomise(lors_decoder()).double()
    average = ExponentialMovingAverage(decoder, momentum=0.3)
    average.update_parameters(decoder)  # the first time, it copies
    old = copy.deepcopy(decoder.state_dict())
    randomise(decoder)
    average.update_parameters(decoder)
    expected = lors_decoder().double()
    expected.load_state_dict({name: 0.7 * old[name] + 0.3 * new for name, new in decoder.state_dict().items()})
    for left, right in zip(run(average.module), run(expected)):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adaptive_groups": (1, 2)}, r"adaptive_groups=\(1, 2\) has 2 values for 3 stages"),
        ({"static_groups": (1,) * 4}, "static_groups.* has 4 values for 3 stages"),
        ({"adaptive_groups": None}, "adaptive_rank=2 needs adaptive_groups"),
        ({"adaptive_rank": 0}, "has no effect with adaptive_rank=0"),
        ({"adaptive_groups": (1, 0, 1)}, "each K must be at least 1"),
        ({"static_rank": -1}, "static_rank=-1"),
        ({"share": (0, 0, 2)}, r"share=\(0, 0, 2\)"),
        ({"share": ()}, r"share=\(\)"),
        ({"share": (0, 0, "a")}, "share="),
        ({"dim": 12}, "dim=12; it must be a multiple of 8"),
        ({"num_groups": 0}, "num_groups=0; it must be a positive integer"),
        ({"num_groups": 3}, "num_groups=3 does not divide dim=16"),
        ({"num_heads": 3}, "num_heads=3 does not divide dim=16"),
        ({"out_init": "other"}, "out_init='other'"),
        ({"layer_rank": -1}, "layer_rank=-1"),
        ({"adaptive_rank": (1, 2)}, r"adaptive_rank=\(1, 2\); it must be .* each of the 3 stages"),
        ({"static_rank": (1, 0, 2)}, r"static_rank=\(1, 0, 2\)"),
        ({"strides": (4, 8, 0, 32)}, r"strides=\(4, 8, 0, 32\); they must be positive integers"),
        ({"strides": ("4", "8")}, r"strides=\('4', '8'\)"),
        ({"strides": (8, 4)}, r"strides=\(8, 4\)"),
        ({"strides": ()}, r"strides=\(\)"),
        ({"strides": 4}, "strides=4; it must be a list or tuple"),
        ({"share": 2}, "share=2; it must be a list or tuple"),
        ({"adaptive_groups": 2}, "adaptive_groups=2; it must be a list or tuple"),
        ({"adaptive_groups": (1, True, 1)}, "adaptive_groups=.* each K must be at least 1"),
        ({"adaptive_rank": 1.5}, "adaptive_rank=1.5"),
        ({"residual_scale": "2"}, "residual_scale='2'; it must be a positive number"),
        ({"query_noise": "0.1"}, "query_noise='0.1'"),
        ({"residual_scale": 0}, "residual_scale=0; it must be a positive number"),
        ({"query_noise": -0.1}, "query_noise=-0.1"),
        ({"gradient_stages": 3}, "gradient_stages=3; it must be None or from 1 to 2: fewer than all"),
        ({"gradient_stages": 0}, "gradient_stages=0"),
        ({"recollect_from": 0}, "recollect_from=0; it must be None, or a stage from 1 to 2"),
        ({"recollect_from": 3}, "recollect_from=3"),
        ({"recollect_from": True}, "recollect_from=True"),
        ({"gradient_stages": True}, "gradient_stages=True"),
        ({"layer_rank": True}, "layer_rank=True"),
        ({"static_rank": True}, "static_rank=True"),
        ({"num_heads": True}, "num_heads=True; it must be a positive integer"),
        ({"residual_gain": "no"}, "residual_gain='no'; it must be True or False"),
        ({"mean_gradient": 1}, "mean_gradient=1; it must be True or False"),
        ({"look_forward_twice": "False"}, "look_forward_twice='False'; it must be True or False"),
        ({"factor_init": "other"}, "factor_init='other'; choose from stacked, matrix"),
        (
            {"adaptive_rank": 0, "adaptive_groups": None, "factor_init": "matrix"},
            "factor_init='matrix' has no effect with adaptive_rank=0",
        ),
        (
            {"share": (0,), "adaptive_groups": (1,), "static_groups": (1,), "query_noise": 0.1},
            "query_noise=0.1 has no effect with one stage",
        ),
        (
            {"share": (0,), "adaptive_groups": (1,), "static_groups": (1,), "gradient_stages": 1},
            "gradient_stages=1 has no effect with one stage",
        ),
        ({"share": (0, 1, 2), "mean_gradient": True}, "mean_gradient=True has no effect"),
        ({"equal_start": True}, "equal_start=True has no effect"),
        ({"equal_start": True, "share": (0, 0, 1), "residual_start": 0.5}, "contradict each other"),
        ({"equal_start": True, "share": (0, 1, None)}, "has stages without a base, which start different"),
        ({"equal_start": 1}, "equal_start=1; it must be True or False"),
        (
            {"adaptive_rank": 0, "adaptive_groups": None, "static_rank": 0, "residual_gain": True},
            "residual_gain=True has no effect without residuals",
        ),
        ({"share": (None, None, None), "residual_gain": True}, "residual_gain=True has no effect without a base"),
        ({"residual_start": "1"}, "residual_start='1'; it must be a number from 0 on"),
        ({"residual_start": -0.5}, "residual_start=-0.5; it must be a number from 0 on"),
        ({"residual_start": float("nan")}, "residual_start=nan; it must be a number from 0 on"),
        (
            {"adaptive_rank": 0, "adaptive_groups": None, "static_rank": 0, "residual_start": 0.5},
            "residual_start=0.5 has no effect without residuals",
        ),
        ({"share": (None, None, None), "residual_start": 0.5}, "residual_start=0.5 has no effect without a base"),
        ({"share": (0, None, 0), "static_rank": 0}, "stages without a base; they need adaptive_rank and static_rank"),
        ({"share": (0, None, 0), "layer_rank": 2}, "cannot have layer_rank"),
        ({"share": (None, 1, 1)}, r"share=\(None, 1, 1\)"),
    ],
)
def test_a_wrong_structure_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        lors_decoder(**changes)


@pytest.mark.parametrize("num_classes", [0, None, 2.0])
def test_a_wrong_number_of_classes_is_named(num_classes):
    with pytest.raises(ValueError, match=f"num_classes={num_classes}; it must be a positive integer"):
        Decoder(num_classes, DecoderSpec(share=(0, 1), **SHAPE))


def test_features_of_another_width_are_named():
    levels, state = inputs(dim=24)
    with pytest.raises(ValueError, match="24 channels came to a decoder of dim=16"):
        lors_decoder().double()(levels, state)


FROM_THE_HOST = {torch.tensor, torch.as_tensor, Tensor.new_tensor, Tensor.item, Tensor.tolist, Tensor.cpu}


class HostCalls(TorchFunctionMode):
    """Notes what would copy from the host to a GPU, or wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[object] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in FROM_THE_HOST:
            self.calls.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("make", [lors_decoder, adamixer_decoder])
def test_nothing_comes_from_the_host(make, monkeypatch):
    """So that a GPU does not wait for it, and a CUDA graph holds all of a decoder; sampling has a kernel there."""
    monkeypatch.setattr("lors_det.adamixer.stage.sample_3d", lambda bank, points: points.new_ones(*points.shape[:4], 8))
    decoder, (levels, state) = make().double(), inputs()
    with HostCalls() as host:
        decoder(levels, state)[-1].logits.sum().backward()
    assert host.calls == []
    with HostCalls() as host:
        torch.tensor([1.0]), levels[0].new_tensor([1.0]), levels[0].sum().item()
    assert len(host.calls) == 3, "the mode sees such calls"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_holds_a_decoder():
    decoder = randomise(lors_decoder()).cuda().eval()
    levels, state = inputs()
    levels, state = [level.float().cuda() for level in levels], QueryState(*(part.float().cuda() for part in state))
    with torch.no_grad(), decoder.folded():
        expected = decoder(levels, state, last_only=True)[0]
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = decoder(levels, state, last_only=True)[0]
        graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close(captured.logits, expected.logits)
    torch.testing.assert_close(captured.boxes_xyxy, expected.boxes_xyxy)
