"""What a stack refuses, and in which words; what was refused is as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from references.foreign import DIM, HEADS, TORCH, WIDTH
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lors_det.lors import Residual, SharedStack, adaptive, checked_share, static


def refuse(words, residuals, share=(0, 0), stages=None):
    """The construction raises these words, and leaves the stages whole."""
    stages = [TORCH.make() for _ in share] if stages is None else stages
    before = [list(stage.state_dict()) for stage in stages]
    with pytest.raises(ValueError, match=words):
        SharedStack(stages, share=share, residuals=residuals)
    assert [list(stage.state_dict()) for stage in stages] == before


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("self_attn.in_proj_weigth", "self_attn.in_proj_weight"),
        ("linear", "linear1"),
        ("linear1.wieght", "linear1.weight"),
        ("multihead_atn", "multihead_attn"),
    ],
)
def test_an_unknown_name(name, near):
    refuse(f"TransformerDecoderLayer has no parameter '{name}'; near it are .*{near}", {name: None})


def test_a_container():
    stages = [nn.ModuleDict({"ffn": nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))}) for _ in "ab"]
    refuse("ffn has no parameters but those of its parts; name them: ffn.0, ffn.2$", {"ffn": None}, stages=stages)


def test_a_parametrised_module_is_shared_by_the_names_of_its_parameters():
    """Its own are what is left of them; the weight would stay private in silence."""
    stages = [nn.Sequential(weight_norm(nn.Linear(4, 4))) for _ in "ab"]
    made = [f"0.parametrizations.weight.original{number}" for number in (0, 1)]
    refuse(
        rf"0 is parametrised; name what is to be shared of it: 0\.bias, {made[0]}, {made[1]}$",
        {"0": None},
        stages=stages,
    )
    stack = SharedStack(stages, share=(0, 0), residuals={made[0]: None, made[1]: static(rank=1), "0.bias": None})
    x = torch.randn(3, 4)
    assert torch.equal(stack[0](x), stack[1](x))


@pytest.mark.parametrize("name", ["", "dropout", "nothing.like.it"])
def test_a_name_without_parameters(name):
    refuse(f"TransformerDecoderLayer has no parameter '{name}'", {name: None})


def test_a_name_given_twice():
    refuse("linear1.weight more than once", {"linear1": None, "linear1.weight": static(rank=1)})


@pytest.mark.parametrize("order", [1, -1])
def test_residuals_of_a_module_and_of_its_part(order):
    """The one's place in a state dict would be in the other's."""
    stages = [nn.Linear(4, 4) for _ in range(2)]
    for stage in stages:
        stage.part = nn.Linear(4, 4)
    pairs = {"a": adaptive((2, 2), num_groups=1, rank=1, num_residuals=(1, 1)), "a.part.weight": static(rank=1)}
    refuse(
        "residuals of a and of its part a.part.weight",
        dict(list(pairs.items())[::order]),
        stages=[nn.ModuleDict({"a": stage}) for stage in stages],
    )


@pytest.mark.parametrize(
    ("residuals", "words"),
    [
        ({"linear2": adaptive((2, 3), num_groups=2, rank=1, num_residuals=(1, 1))}, "linear2 is for 12 x 12, 12, .* 8"),
        (
            {"linear1.bias": static(rank=1)},
            r"the residual of linear1\.bias in stage 0: .* corrects matrices, and the weight is \(12,\)",
        ),
        ({"linear1": static(rank=1)}, "one weight, and the name stands for 2"),
        ({"linear1.weight": adaptive((2, 2), num_groups=3, rank=1, num_residuals=(1, 1))}, "name the map"),
        (
            {"linear1.weight": static(rank=(1,))},
            "have numbers for 1 stages, and there are 2; give one",
        ),
        ({"linear1.weight": static(rank=(1, 1, 1))}, "for 3 stages, and there are 2"),
        ({"linear1.weight": static(rank=1, num_groups=(1,))}, "for 1 stages"),
        ({"linear2": adaptive((2, 4), num_groups=1, rank=1, num_residuals=(1, 1, 2))}, "for 3 stages"),
    ],
)
def test_a_residual_that_does_not_fit(residuals, words):
    refuse(words, residuals)


class Own(Residual):
    """Adds a number to a weight; it is for a bias too."""

    def __init__(self, shapes: tuple[torch.Size, ...]) -> None:
        super().__init__()
        self.own, self.number = shapes, nn.Parameter(torch.ones(()))

    @property
    def shapes(self) -> tuple[torch.Size, ...]:
        return self.own

    def forward(self, *parameters):
        return (parameters[0] + self.number,)


def test_a_residual_of_ones_own():
    def stages():
        return [nn.Linear(4, 4) for _ in "ab"]

    stack = SharedStack(stages(), share=(0, 0), residuals={"weight": lambda shapes, *_: Own(shapes)})
    assert torch.equal(stack.weights(0)["weight"], stack.bases[0].weight + 1)
    before = {name: value.clone() for name, value in stack.state_dict().items()}
    with pytest.raises(NotImplementedError, match=r"Own has no fit\(\)"):
        stack.fit(stages())
    assert all(torch.equal(value, before[name]) for name, value in stack.state_dict().items())
    both = [nn.ModuleDict({"map": stage}) for stage in stages()]
    stack = SharedStack(both, share=(0, 0), residuals={"map": lambda shapes, *_: Own(shapes)})
    words = (
        "the residual of map in stage 0 gives a tuple of 1; it must give a tuple of the corrected map.weight, map.bias"
    )
    with pytest.raises(ValueError, match=words):
        stack.weights(0)
    refuse(
        "the residual of weight in stage 0 is a Linear; derive it from lors_det.lors.Residual",
        {"weight": lambda *_: nn.Linear(4, 4)},
        stages=stages(),
    )


def test_another_number_of_stages_than_there_are_residuals():
    stack = SharedStack(
        [nn.Linear(4, 4) for _ in "abc"], share=(0, 0, 0), residuals={"weight": static(rank=1, start=1.0)}
    )
    plain, x = stack.fold(), torch.randn(2, 4)
    del stack.stages[1]
    with pytest.raises(RuntimeError, match=r"stack.stages has 2 stages, and bases and residuals are for 3"):
        stack(x)
    fewer = SharedStack([nn.Linear(4, 4) for _ in "ab"], share=(0, 0), residuals={"weight": static(rank=4)})
    fewer.fit([plain[0], plain[2]])
    torch.testing.assert_close(fewer(x), plain[2](plain[0](x)))


def test_a_number_of_the_stages_is_whole():
    low_rank = static(rank=np.int64(2))
    stack = SharedStack([TORCH.make() for _ in "ab"], share=(0, 0), residuals={"linear1.weight": low_rank})
    assert stack.residuals[0].linear1.weight.up.shape[1] == 2
    for rank in (2.0, True, "2", (1, None)):
        with pytest.raises(ValueError, match=r"rank=.*; it must be a whole number, or one for each stage"):
            static(rank=rank)
    with pytest.raises(ValueError, match=r"num_residuals=.* has 3 values, and others have 2"):
        adaptive((2, 2), num_groups=1, rank=(1, 1), num_residuals=(1, 1, 1))


@pytest.mark.parametrize("switch", ["with_cp", "gradient_checkpointing"])
def test_a_stage_that_recomputes_by_itself(switch):
    """The backward pass would compute it again without its shared weights."""
    stages = [TORCH.make() for _ in "ab"]
    setattr(stages[1].self_attn, switch, True)
    words = rf"stage 1 recomputes activations by itself \(self_attn\.{switch}\).* set stack.recompute"
    refuse(words, {"linear1.weight": static(rank=1)}, stages=stages)
    setattr(stages[1].self_attn, switch, False)
    SharedStack(stages, share=(0, 0), residuals={"linear1.weight": static(rank=1)})


def test_stages_that_differ():
    def layer(width):
        return nn.TransformerDecoderLayer(DIM, HEADS, width)

    refuse(
        "linear1.weight have it in different shapes: 9 x 8, 12 x 8", {"linear1": None}, stages=[layer(WIDTH), layer(9)]
    )
    stack = SharedStack([layer(WIDTH), layer(9)], share=(0, 1), residuals={"linear1.weight": static(rank=1)})
    assert [len(weights["linear1.weight"]) for weights in map(stack.weights, range(2))] == [WIDTH, 9]
    refuse(
        "stage 1: Linear has no parameter 'linear1.weight'", {"linear1": None}, stages=[layer(WIDTH), nn.Linear(2, 2)]
    )


def test_stages_that_are_tied_and_have_two_bases():
    """One weight in two bases would be there twice, and its users would be counted wrongly."""
    stages = [nn.Linear(2, 2) for _ in "ab"]
    stages[1].weight = stages[0].weight
    refuse("bases 0 and 1 have one weight: stages that are tied so share one base", {"weight": None}, (0, 1), stages)
    SharedStack(stages, share=(0, 0), residuals={"weight": None})


def test_weights_of_different_types():
    stages = [nn.Linear(2, 2), nn.Linear(2, 2).double()]
    refuse("stages that share weight have it of different types: torch.float32", {"weight": None}, stages=stages)


def test_a_stage_given_twice():
    refuse("stage 1 is stage 0", {"linear1": None}, stages=[TORCH.make()] * 2)


def test_a_parameter_of_two_names():
    """Sharing the one would leave the other behind."""
    stages = [TORCH.make() for _ in range(2)]
    for stage in stages:
        stage.norm1.weight = stage.norm2.weight
    refuse("norm1.weight is norm2.weight", {"norm1.weight": None}, stages=stages)
    refuse("norm2.weight is norm1.weight", {"norm2.weight": None}, stages=stages)

    later = [TORCH.make() for _ in range(2)]
    later[1].norm1.weight = later[1].norm2.weight
    refuse("norm1.weight is norm2.weight", {"norm1.weight": None}, stages=later)


def test_a_recurrent_layer():
    """It would compute with the weights that it had."""
    stages = [nn.Sequential(nn.GRU(2, 2)) for _ in range(2)]
    refuse(r"0.weight_hh_l0 is of nn.GRU, which keeps references", {"0.weight_hh_l0": static(rank=1)}, stages=stages)


def test_no_residual_without_a_base():
    refuse("stage 1 has no base, and so needs a residual of norm1", {"norm1": None}, share=(0, None))


@pytest.mark.parametrize(
    "share",
    [(), (1, 1), (0, 2), (-1, 0), (0, "0"), (0.0, 0), (0, 0.0), (False, True), (0, 0, 0), (0,)],
    ids=lambda share: str(share),
)
def test_a_share_that_is_none(share):
    refuse("share=", {"norm1": None}, share=share, stages=[TORCH.make() for _ in range(2)])
    with pytest.raises(ValueError, match="share="):
        checked_share(share, 2)


def test_shares():
    for share in [(0, 0), (0, 1), (1, 0), (None, 0), (None, None), range(2)]:
        assert checked_share(share, 2) == tuple(share)
