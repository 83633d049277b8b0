"""What is measured: mixing, sampling and the whole decoder of the published LORS model, forward and both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lors_det.adamixer import Decoder, QueryState
from lors_det.adamixer.geometry import whole_image_xyzr
from lors_det.benchmark.plain import PlainBank, plain_operations, plain_sample
from lors_det.benchmark.timing import Comparison, compare
from lors_det.ops import FeatureBank, sample_3d

LORS = dict(
    share=(0,) * 6,
    num_groups=2,
    num_points=64,
    num_out_points=128,
    adaptive_rank=16,
    adaptive_groups=(1, 1, 2, 2, 3, 3),
    static_rank=8,
    out_init="linear",
)
IMAGE_PX = (800, 1280)
STRIDES = (4, 8, 16, 32)
STAGE = 4
"""The stage whose mixing is measured, K = 3."""


@dataclass(frozen=True)
class Case:
    """A measurement: two functions of the same inputs that return the same tensors."""

    name: str
    ours: Callable[..., list[Tensor]]
    plain: Callable[..., list[Tensor]]
    inputs: Callable[[], tuple[Any, ...]]
    parameters: tuple[Tensor, ...] = ()

    def errors(self, exact: Case) -> tuple[float, float]:
        """Relative errors of (ours, plain) against ``exact``, the same case in float64 and plain operations.

        Means over outputs and gradients, each by its norm: rounding flips a few ReLUs, and their gradients, in either.
        """
        inputs = self.inputs()
        with plain_operations():
            truth = exact.plain(*_in_float64(inputs))
            plain = self.plain(*inputs)
        ours = self.ours(*inputs)
        return tuple(
            sum(((a.double() - b).norm() / b.norm().clamp(min=1e-12)).item() for a, b in zip(found, truth, strict=True))
            / len(truth)
            for found in (ours, plain)
        )

    def measure(self, rounds: int, device: torch.device) -> Comparison:
        return compare(self.ours, self.plain, self.inputs, parameters=self.parameters, rounds=rounds, device=device)


def published_decoder(device: torch.device, dtype: torch.dtype) -> Decoder:
    """LORS-AdaMixer's decoder, off its start, where residuals are zero."""
    torch.manual_seed(0)
    decoder = Decoder(80, **LORS)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.01)
    return decoder.to(device, dtype)


def _in_float64(value: Any) -> Any:
    """Copies of tensors, and of what holds them, in float64."""
    if isinstance(value, Tensor):
        return value.detach().double()
    if isinstance(value, FeatureBank):
        return replace(value, rows=value.rows.detach().double())
    if isinstance(value, QueryState):
        return QueryState(*map(_in_float64, value))
    return type(value)(map(_in_float64, value))


def both_ways(outputs: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    """Outputs, and the gradients of the leaves for a fixed direction of each output."""
    directions = [torch.linspace(-1, 1, output.numel(), device=output.device).view_as(output) for output in outputs]
    grads = torch.autograd.grad(outputs, leaves, [d.to(o.dtype) for d, o in zip(directions, outputs)])
    return [*outputs, *grads]


def cases(device: torch.device, dtype: torch.dtype, pairs: list[tuple[int, int]]) -> Iterator[Case]:
    """All cases for each (B, Q)."""
    decoder = published_decoder(device, dtype)
    for num_images, num_queries in pairs:
        yield from _mixing(decoder, num_images, num_queries)
        yield from _sampling(num_images, num_queries, device)
        yield from _decoder(decoder, num_images, num_queries)


def _mixing(decoder: Decoder, num_images: int, num_queries: int) -> Iterator[Case]:
    mixing, base = decoder.stages[STAGE].mixing, decoder.bases[0]
    weight = base.channel.weight
    parameters = (*mixing.parameters(), *base.parameters())
    lead = (num_images, num_queries)

    def inputs() -> tuple[Tensor, Tensor]:
        sampled = torch.randn(*lead, 2, 64, 128, device=weight.device, dtype=weight.dtype)
        return sampled, torch.randn(*lead, 256, device=weight.device, dtype=weight.dtype)

    def forward(sampled: Tensor, content: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return [_evaluating(mixing)(sampled, content, base)]

    def step(sampled: Tensor, content: Tensor) -> list[Tensor]:
        leaves = [sampled.requires_grad_(), content.requires_grad_(), *parameters]
        return both_ways([mixing.train()(sampled, content, base)], leaves)

    for kind, run in (("inference", forward), ("both ways", step)):
        yield Case(f"mixing {kind}, B={num_images} Q={num_queries}", run, run, inputs, parameters)


def _evaluating(module: nn.Module) -> nn.Module:
    """In evaluation mode; turning a module that already is would drop what it keeps."""
    return module.eval() if module.training else module


def _sampling(num_images: int, num_queries: int, device: torch.device) -> Iterator[Case]:
    """The bank is made beforehand: six stages share it. The decoder's cases include it."""

    def inputs() -> tuple[Any, ...]:
        levels = [torch.randn(num_images, 256, IMAGE_PX[0] // s, IMAGE_PX[1] // s, device=device) for s in STRIDES]
        points = torch.rand(num_images, num_queries, 2, 64, 3, device=device)
        points = points * points.new_tensor([IMAGE_PX[1], IMAGE_PX[0], 6.0])
        return levels, points, FeatureBank.from_levels(levels, STRIDES)

    def without_gradients(sampler: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
        return torch.no_grad()(lambda levels, points, bank: [sampler(levels, points, bank)])

    def ours_both_ways(levels: list[Tensor], points: Tensor, bank: FeatureBank) -> list[Tensor]:
        leaves = [points.requires_grad_(), bank.rows.requires_grad_()]
        sampled, d_points, d_rows = both_ways([_sample(levels, points, bank)], leaves)
        return [sampled, d_points, *FeatureBank(d_rows, bank.shapes, bank.strides).levels()]

    def plain_both_ways(levels: list[Tensor], points: Tensor, bank: FeatureBank) -> list[Tensor]:
        leaves = [points.requires_grad_(), *(level.requires_grad_() for level in levels)]
        return both_ways([_plain_sample(levels, points, bank)], leaves)

    name = f"B={num_images} Q={num_queries}"
    yield Case(f"sampling forward, {name}", without_gradients(_sample), without_gradients(_plain_sample), inputs)
    yield Case(f"sampling both ways, {name}", ours_both_ways, plain_both_ways, inputs)


def _sample(levels: list[Tensor], points: Tensor, bank: FeatureBank) -> Tensor:
    return sample_3d(bank, points)


def _plain_sample(levels: list[Tensor], points: Tensor, bank: FeatureBank) -> Tensor:
    return plain_sample(PlainBank(tuple(levels), STRIDES), points)


def _decoder(decoder: Decoder, num_images: int, num_queries: int) -> Iterator[Case]:
    weight = next(decoder.parameters())

    def inputs() -> tuple[list[Tensor], QueryState]:
        like = dict(device=weight.device, dtype=weight.dtype)
        # smooth, as features are: on white noise a rounding error of a coordinate would change what is sampled
        coarse = torch.randn(num_images, 256, 5, 8, **like)
        levels = [F.interpolate(coarse, (IMAGE_PX[0] // s, IMAGE_PX[1] // s), mode="bilinear") for s in STRIDES]
        sizes = torch.tensor([IMAGE_PX[::-1]] * num_images, dtype=torch.float32, device=weight.device)
        xyzr = whole_image_xyzr(sizes)[:, None].repeat(1, num_queries, 1)
        xyzr = xyzr + torch.randn_like(xyzr) * xyzr.new_tensor([100.0, 100.0, 0.5, 0.2])
        return levels, QueryState(torch.randn(num_images, num_queries, 256, **like), xyzr)

    def predict(levels: list[Tensor], state: QueryState) -> list[Tensor]:
        with torch.no_grad():
            last = _evaluating(decoder).predict(levels, state)
        return [last.logits, last.boxes_xyxy]

    def step(levels: list[Tensor], state: QueryState) -> list[Tensor]:
        leaves = [*(level.requires_grad_() for level in levels), state.content.requires_grad_()]
        outputs = decoder.train()(levels, state)
        tensors = [tensor for output in outputs for tensor in (output.logits, output.boxes_xyxy)]
        return both_ways(tensors, [*leaves, *decoder.parameters()])

    parameters = tuple(decoder.parameters())
    for kind, run in (("inference", predict), ("both ways", step)):
        yield Case(f"decoder {kind}, B={num_images} Q={num_queries}", run, run, inputs, parameters)
