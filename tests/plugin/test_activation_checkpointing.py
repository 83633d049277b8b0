"""What is recomputed has the gradients of what is kept, for every parameter; and what cannot be is refused by name."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.runner import runner
from mmengine.structures import InstanceData
from references.tiny import ADAMIXER, LORS, tiny_config
from torch import Tensor, nn

from lors_det.errors import InputError
from lors_det.plugin.activation_checkpointing import check_activation_checkpointing, turn_on_activation_checkpointing

STACK = "bbox_head.decoder.stack"
RECIPE = {
    "model.bbox_head.decoder.query_noise": 0.1,
    "model.bbox_head.decoder.mean_gradient": True,
    "model.bbox_head.decoder.residual_gain": True,
    "model.bbox_head.decoder.recollect_from": 1,
    "model.bbox_head.denoising": dict(num_groups=2),
}


def model_of(config: Path, **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    changes["model.bbox_head.num_classes"] = 3
    model = MODELS.build(tiny_config(Path("none"), Path("none"), config, **changes).model).double().train()
    model.init_weights()
    return model


def gradients(model: nn.Module) -> dict[str, Tensor | None]:
    """Of all losses of two images."""
    torch.manual_seed(1)
    boxes = torch.tensor([[4.0, 4.0, 30.0, 24.0], [20.0, 10.0, 60.0, 50.0]], dtype=torch.float64)
    truth = InstanceData(bboxes=boxes, labels=torch.tensor([0, 2]))
    info = dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1.0, 1.0), batch_input_shape=(64, 64))
    samples = [DetDataSample(metainfo=info, gt_instances=truth) for _ in range(2)]
    losses = model.loss(torch.rand(2, 3, 64, 64, dtype=torch.float64), samples)
    sum(loss for name, loss in losses.items() if "loss" in name).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def counted(module: nn.Module) -> list[int]:
    calls: list[int] = []
    module.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def test_a_deep_copy_computes_with_its_own_weights():
    """As a mean of the weights, or a fold, makes one."""
    model = model_of(ADAMIXER)
    turn_on_activation_checkpointing(model, ["backbone", f"{STACK}.stages.1"])
    for name, inner in (("backbone", "conv1.weight"), (f"{STACK}.stages.1", "mixing.out.weight")):
        original = model.get_submodule(name)
        copied = deepcopy(original)
        with torch.no_grad():
            copied.get_parameter(inner).zero_()
        assert original.get_parameter(inner).any()
        for module in (original, copied):
            assert module.forward.args[0] is module
            assert module.forward.args[1].__self__ is module
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    copied = deepcopy(model.backbone)
    with torch.no_grad():
        copied.conv1.weight.zero_()
    assert not torch.allclose(copied(images)[0], model.backbone(images)[0])


@pytest.mark.parametrize(
    ("config", "changes", "names", "inner"),
    [
        (LORS, {}, "backbone", "backbone.layer4"),
        (LORS, {"model.backbone.frozen_stages": 1}, ["backbone.layer2", "neck"], "backbone.layer2.0"),
        (LORS, {}, STACK, f"{STACK}.stages.2.attention"),
        (LORS, {}, "bbox_head.decoder", f"{STACK}.stages.2.attention"),
        (LORS, RECIPE, ["backbone", "neck", STACK], f"{STACK}.stages.2.attention"),
        (ADAMIXER, {}, STACK, f"{STACK}.stages.2.attention"),
        (ADAMIXER, {}, [f"{STACK}.stages.1", f"{STACK}.stages.2.attention"], f"{STACK}.stages.2.attention.norm"),
    ],
)
def test_gradients_are_those_of_what_is_kept(config, changes, names, inner):
    """mmengine's own way leaves some without: of a backbone, whose images need no gradient, and of a neck."""
    kept, recomputed = gradients(model_of(config, **changes)), model_of(config, **changes)
    runner.turn_on_activation_checkpointing(recomputed, names)
    calls = counted(recomputed.get_submodule(inner))
    found = gradients(recomputed)
    assert len(calls) == 2, "once forward, once again for the backward pass"
    for name, gradient in kept.items():
        assert (gradient is None) == (found[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_less_is_kept():
    """Bytes of what the backward pass finds: with stages recomputed, a part of what it is without."""

    def kept(names: list[str]) -> int:
        model = model_of(LORS)
        turn_on_activation_checkpointing(model, names)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (sizes.append(x.nbytes), x)[1], lambda x: x):
            gradients(model)
        return sum(sizes)

    assert kept([STACK]) < 0.5 * kept([])


def test_an_evaluation_recomputes_nothing():
    model = model_of(LORS).eval()
    turn_on_activation_checkpointing(model, ["backbone", STACK])
    calls = counted(model.get_submodule(f"{STACK}.stages.0.attention"))
    info = dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1.0, 1.0), batch_input_shape=(64, 64))
    with torch.no_grad():
        model.predict(torch.rand(1, 3, 64, 64, dtype=torch.float64), [DetDataSample(metainfo=info)])
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("config", "name", "words"),
    [
        (LORS, f"{STACK}.stages.1.mixing", rf"shared weights .* name the whole, {STACK}$"),
        (LORS, f"{STACK}.bases", rf"name the whole, {STACK}$"),
        (LORS, "bbox_head", rf"never called as a whole; name a part of it, such as {STACK}$"),
        (LORS, "backbone.layr2", r"names 'backbone\.layr2', which is no module; backbone\.layer2 is"),
        (LORS, "", "names '', which is no module"),
        (ADAMIXER, f"{STACK}.stages", rf"name the whole, {STACK}$"),
    ],
)
def test_what_cannot_be_recomputed_is_named(config, name, words):
    with pytest.raises(InputError, match=words):
        check_activation_checkpointing(["backbone", name], model_of(config))
