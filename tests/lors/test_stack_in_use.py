"""A stack under what surrounds a model: other people's containers, compilation, checkpointing, autocast, processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from references.foreign import DEFORMABLE, DIM, HEADS, KINDS, SHARE, TORCH, VIT, WIDTH, inputs, run
from references.small import randomise
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint
from torchvision.models import VisionTransformer

# isort: split
from mmdet.models.layers.transformer import DeformableDetrTransformerDecoder  # what foreign imports lets it import

from lors_det.lors import SharedStack

EXACT = dict(rtol=1e-12, atol=1e-12)


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


class Chain(nn.Module):
    """A model of a stack alone."""

    def __init__(self, stack):
        super().__init__()
        self.stack = stack

    def forward(self, x, **arguments):
        return run(self.stack, x, arguments)[-1]


def put_into(model, place, kind):
    """Share the weights of a container's layers; the model then computes, folds and learns as before."""
    layers = place.layers
    assert len(layers) == len(SHARE)
    place.layers = SharedStack(list(layers), share=SHARE, residuals=kind.residuals)
    randomise(model).double()


def holds_as_plain(model, place, given, plain_container):
    """Outputs equal those of the container with folded layers, and every parameter gets a gradient."""
    output = model(*given)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    stack = place.layers
    place.layers = plain_container(stack.fold())
    torch.testing.assert_close(model(*given), output, **EXACT)
    place.layers = stack
    with torch.no_grad():
        stack.bases[0].get_parameter(next(iter(stack.names))).add_(0.5)
    assert not torch.allclose(model(*given), output)


def test_it_replaces_the_layers_of_torch():
    """Of a decoder and of an encoder, whose fast path in evaluation takes the weights past the layers' forward."""
    decoder = nn.TransformerDecoder(TORCH.make(), len(SHARE), norm=nn.LayerNorm(DIM))
    put_into(decoder, decoder, TORCH)
    x, arguments = inputs(TORCH)
    holds_as_plain(decoder, decoder, (x, arguments["memory"]), nn.ModuleList)
    layer = nn.TransformerEncoderLayer(DIM, HEADS, WIDTH, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, len(SHARE), enable_nested_tensor=False)
    shared = {name: make for name, make in TORCH.residuals.items() if not name.startswith("multihead")}
    put_into(encoder, encoder, TORCH._replace(residuals=shared))
    holds_as_plain(encoder, encoder, (x,), nn.ModuleList)
    encoder.eval()
    with torch.no_grad():
        plain = encoder.layers.fold()
        torch.testing.assert_close(encoder(x), run(plain, x, {})[-1], **EXACT)


def test_it_replaces_the_layers_of_torchvision():
    """They are called as one."""
    model = VisionTransformer(
        image_size=8, patch_size=4, num_layers=len(SHARE), num_heads=HEADS, hidden_dim=DIM, mlp_dim=WIDTH
    )
    put_into(model, model.encoder, VIT)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    holds_as_plain(model, model.encoder, (images,), lambda stages: nn.Sequential(*stages))


def test_it_replaces_the_layers_of_mmdet():
    layer = dict(
        self_attn_cfg=dict(embed_dims=DIM, num_heads=HEADS, batch_first=True),
        cross_attn_cfg=dict(embed_dims=DIM, num_heads=HEADS, num_levels=2, num_points=3, dropout=0.0, batch_first=True),
        ffn_cfg=dict(embed_dims=DIM, feedforward_channels=WIDTH),
    )
    model = DeformableDetrTransformerDecoder(len(SHARE), layer, post_norm_cfg=None, return_intermediate=False)
    put_into(model, model, DEFORMABLE)
    x, arguments = inputs(DEFORMABLE)
    arguments["reference_points"] = arguments["reference_points"][:, :, 0]
    arguments |= {"key_padding_mask": None, "valid_ratios": torch.ones(2, 2, 2, dtype=torch.float64)}

    class Output(nn.Module):
        layers = property(lambda self: model.layers)

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x, **arguments)[0]

    holds_as_plain(Output(), model, (x,), nn.ModuleList)


def test_it_compiles_as_one_graph(kind, request):
    """Values and gradients, folded and not."""
    if request.node.callspec.params.get("kind") == "deformable" and torch.__version__ < "2.10":
        pytest.skip(f"torch {torch.__version__} compiles no split whose sizes are numbers in a tensor")
    torch.compiler.reset()
    model = Chain(kind.random_stack())
    x, arguments = inputs(kind)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    leaves = [x, *model.parameters()]
    expected = model(x, **arguments)
    output = compiled(x, **arguments)
    torch.testing.assert_close(output, expected, **EXACT)
    for got, wanted in zip(torch.autograd.grad(output.sum(), leaves), torch.autograd.grad(expected.sum(), leaves)):
        torch.testing.assert_close(got, wanted, **EXACT)
    model.eval()
    with torch.no_grad():
        with model.stack.folded():
            torch.testing.assert_close(compiled(x, **arguments), expected, **EXACT)
        randomise(model)
        torch.testing.assert_close(compiled(x, **arguments), model(x, **arguments), **EXACT)
        assert not torch.allclose(compiled(x, **arguments), expected)
    torch.compiler.reset()


@pytest.mark.parametrize("mode", ["float64", "autocast"])
def test_checkpointing_around_a_stage_changes_nothing(kind, mode):
    stack = kind.random_stack()
    x, arguments = inputs(kind)
    if mode == "autocast":
        stack.float()
        x = x.detach().float().requires_grad_()
        arguments = {n: v.float() if v.is_floating_point() else v for n, v in arguments.items()}
    leaves, results = [x, *stack.parameters()], []
    for checkpointed in (False, True):
        y = x
        with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
            for stage in stack:
                y = checkpoint(stage, y, use_reentrant=False, **arguments) if checkpointed else stage(y, **arguments)
        results.append((y, torch.autograd.grad(y.float().sum(), leaves)))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def narrow_error(stages, x, arguments):
    """Relative errors of outputs and of the input's gradient under bfloat16 autocast."""
    results = []
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output = run(stages, x, arguments)[-1].float()
        results.append((output, *torch.autograd.grad(output.square().mean(), x)))
    return [((narrow - wide).norm() / wide.norm()).item() for narrow, wide in zip(*results)]


def test_autocast(kind):
    """As accurate as plain layers under it are, by the median of nine stacks; parameters' gradients are float32."""
    errors = []
    for _ in range(9):
        stack = randomise(kind.stack())
        x, arguments = inputs(kind, torch.float32)
        errors.append([narrow_error(stages, x, arguments) for stages in (stack, stack.fold())])
    error, plain_error = torch.tensor(errors).median(dim=0).values
    assert (error > 0).all()
    assert (error <= 2 * plain_error).all(), (error, plain_error)
    assert (error < 0.05).all(), error
    with torch.autocast("cpu", torch.bfloat16):
        run(stack, x, arguments)[-1].float().square().mean().backward()
    assert {parameter.grad.dtype for parameter in stack.parameters()} == {torch.float32}


def test_weights_under_autocast_are_those_of_plain_layers(kind):
    """Corrected in float32, and cast by the operation that takes them."""
    stack = randomise(kind.stack())
    x, arguments = inputs(kind, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert {weight.dtype for weight in stack.weights(0).values()} == {torch.float32}
        found, expected = (run(stages, x, arguments)[-1] for stages in (stack, stack.fold()))
    assert torch.equal(found, expected)


def train(rank: int, world: int, folder: Path) -> None:
    """Three steps on this process's part of the batch, each kind of layers; writes the weights."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    states = {}
    for name, kind in KINDS.items():
        torch.manual_seed(0)
        plain = Chain(kind.random_stack())
        model = DistributedDataParallel(plain) if world > 1 else plain  # find_unused_parameters is off
        optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
        for _ in range(3):
            x, arguments = inputs(kind)
            part = slice(rank * 2 // world, (rank + 1) * 2 // world)
            arguments = {n: v[part] if v.is_floating_point() else v for n, v in arguments.items()}
            optimiser.zero_grad()
            model(x[part], **arguments).square().mean().backward()
            optimiser.step()
        states[name] = plain.state_dict()
    torch.save(states, folder / f"{world}-{rank}.pth")
    if world > 1:
        dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    mp.spawn(train, args=(2, tmp_path), nprocs=2)
    train(0, 1, tmp_path)
    one, first, second = (torch.load(tmp_path / f"{name}.pth") for name in ("1-0", "2-0", "2-1"))
    for name, kind in KINDS.items():
        torch.manual_seed(0)
        start = Chain(kind.random_stack()).state_dict()
        for key, value in one[name].items():
            assert torch.equal(first[name][key], second[name][key]), key
            torch.testing.assert_close(first[name][key], value, rtol=1e-10, atol=1e-10)
            assert not torch.equal(value, start[key]), f"{key} has not moved"
