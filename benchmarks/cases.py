"""What is measured: mixing, sampling and the whole decoder of the published LORS model, one way and both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from benchmarks import published
from benchmarks.baseline import Baseline
from benchmarks.case import Candidate, Case, Precision, Run, both_ways, inference
from benchmarks.models import Models
from lors_det.adamixer import QueryState
from lors_det.adamixer.geometry import whole_image_xyzr
from lors_det.ops import FeatureBank, sample_3d

IMAGE_PX = (800, 1280)
STRIDES = (4, 8, 16, 32)
STAGE = 4
"""The stage whose mixing is measured, K = 3."""
FLIPS = (1e-2, 2e-3)
"""Without a flip the errors of mixing's gradients are 1e-6 to 7e-6 on a CPU, ours and the baseline's; with a few, up
to 4e-3 in a gradient and 1.1e-3 in the mean of all, and up to 7e-3 in one of the decoder's."""


def cases(device: torch.device, dtype: torch.dtype, pairs: Sequence[tuple[int, int]]) -> dict[str, Callable[[], Case]]:
    """All cases of each (B, Q) by name; a case is made when it is called for."""
    models = Models(device, dtype)
    return {
        f"{operation} {kind}, B={num_images} Q={num_queries}": partial(
            make, models, num_images, num_queries, training=kind == "both ways"
        )
        for num_images, num_queries in pairs
        for operation, make in (("mixing", _mixing), ("sampling", _sampling), ("decoder", _decoder))
        for kind in ("inference", "both ways")
    }


def _mixing(models: Models, num_images: int, num_queries: int, *, training: bool) -> Case:
    stack = (models.decoder if training else models.folded).stack

    def inputs() -> tuple[Tensor, Tensor]:
        return models.features(num_images, num_queries, 2, 64, 128), models.content(num_images, num_queries)

    def ours(sampled: Tensor, content: Tensor) -> list[Tensor]:
        weights = {
            name.removeprefix("mixing."): weight
            for name, weight in stack.weights(STAGE).items()
            if name.startswith("mixing.")
        }
        return [functional_call(stack[STAGE].mixing, weights, (sampled, content))]

    def of_baseline(baseline: Baseline) -> Run:
        return lambda sampled, content: [baseline.mix(STAGE, sampled, content)]

    if not training:
        return _without_gradients(models, inputs, ours, of_baseline)
    places = tuple(f"stack.{part}.mixing." for part in ("bases.0", f"stages.{STAGE}", f"residuals.{STAGE}"))
    return _with_gradients(models, inputs, ours, of_baseline, leaves=lambda *tensors: [*tensors], places=places)


def _decoder(models: Models, num_images: int, num_queries: int, *, training: bool) -> Case:

    def inputs() -> tuple[list[Tensor], QueryState]:
        # smooth, as features are: on white noise a rounding error of a coordinate would change what is sampled
        coarse = models.features(num_images, 256, 5, 8)
        levels = [F.interpolate(coarse, (IMAGE_PX[0] // s, IMAGE_PX[1] // s), mode="bilinear") for s in STRIDES]
        sizes = torch.tensor([IMAGE_PX[::-1]] * num_images, dtype=torch.float32, device=models.device)
        xyzr = whole_image_xyzr(sizes)[:, None].repeat(1, num_queries, 1)
        xyzr = xyzr + torch.randn_like(xyzr) * xyzr.new_tensor([100.0, 100.0, 0.5, 0.2])
        return levels, QueryState(models.content(num_images, num_queries), xyzr)

    def predict(levels: list[Tensor], state: QueryState) -> list[Tensor]:
        (last,) = models.folded(levels, state, last_only=True)
        return [last.logits, last.boxes_xyxy]

    def train(levels: list[Tensor], state: QueryState) -> list[Tensor]:
        outputs = models.decoder(levels, state)
        return [tensor for output in outputs for tensor in (output.logits, output.boxes_xyxy)]

    def of_baseline(baseline: Baseline) -> Run:
        def decode(levels: list[Tensor], state: QueryState) -> list[Tensor]:
            outputs = baseline.decode(levels, *state)
            return [tensor for output in outputs for tensor in output] if training else list(outputs[-1])

        return decode

    if not training:
        return _without_gradients(models, inputs, predict, of_baseline)
    return _with_gradients(
        models, inputs, train, of_baseline, leaves=lambda levels, state: [*levels, state.content], places=("",)
    )


def _sampling(models: Models, num_images: int, num_queries: int, *, training: bool) -> Case:
    """Both are given features as they sample them, which all stages do: the decoder's cases include the making."""

    def inputs() -> tuple[list[Tensor], Tensor, FeatureBank]:
        levels = [models.features(num_images, 256, IMAGE_PX[0] // s, IMAGE_PX[1] // s) for s in STRIDES]
        points = torch.rand(num_images, num_queries, 2, 64, 3, device=models.device)
        points = points * points.new_tensor([IMAGE_PX[1], IMAGE_PX[0], 6.0])
        return [level.float() for level in levels], points, FeatureBank.from_levels(levels, STRIDES)

    def ours(levels: list[Tensor], points: Tensor, bank: FeatureBank) -> list[Tensor]:
        return [sample_3d(bank, points).to(models.dtype)]  # as the mixing takes it

    def baseline(levels: list[Tensor], points: Tensor, bank: FeatureBank) -> list[Tensor]:
        return [published.sample(levels, points, STRIDES).to(models.dtype)]

    def exact(levels: list[Tensor], points: Tensor, bank: FeatureBank) -> list[Tensor]:
        return [published.sample(levels, points, STRIDES)]

    if not training:
        return Case(
            Candidate(inference(ours, models.precision)),
            Candidate(inference(baseline, models.precision)),
            Candidate(inference(exact)),
            inputs,
        )

    def leaves(levels: list[Tensor], points: Tensor, bank: FeatureBank) -> list[Tensor]:
        return [points, *levels]

    def by_level(results: list[Tensor]) -> list[Tensor]:
        sampled, of_points, of_rows = results
        shapes = tuple((IMAGE_PX[0] // s, IMAGE_PX[1] // s) for s in STRIDES)
        return [sampled, of_points, *FeatureBank(of_rows, shapes, STRIDES).levels()]

    return Case(
        Candidate(both_ways(ours, lambda levels, points, bank: [points, bank.rows], models.precision), by_level),
        Candidate(both_ways(baseline, leaves, models.precision)),
        Candidate(both_ways(exact, leaves)),
        inputs,
    )


def _without_gradients(
    models: Models, inputs: Callable[[], tuple[Any, ...]], ours: Run, of_baseline: Callable[[Baseline], Run]
) -> Case:
    return Case(
        Candidate(inference(ours, models.precision)),
        Candidate(inference(of_baseline(models.baseline_in_precision), models.precision)),
        Candidate(inference(of_baseline(models.exact))),
        inputs,
    )


def _with_gradients(
    models: Models,
    inputs: Callable[[], tuple[Any, ...]],
    ours: Run,
    of_baseline: Callable[[Baseline], Run],
    *,
    leaves: Run,
    places: tuple[str, ...],
) -> Case:
    """Gradients of ``leaves`` of the inputs, and of the weights whose names begin with one of ``places``."""

    def there(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: weight for name, weight in weights.items() if name.startswith(places)}

    def run(forward: Run, weights: Mapping[str, Tensor], precision: Precision) -> Run:
        return both_ways(forward, lambda *tensors: [*leaves(*tensors), *weights.values()], precision)

    parameters = there(dict(models.decoder.named_parameters()))

    def candidate(baseline: Baseline, precision: Precision) -> Candidate:
        weights = there(baseline.weights)

        def comparable(results: list[Tensor]) -> list[Tensor]:
            first = len(results) - len(weights)
            gradients = baseline.gradients(dict(zip(weights, results[first:])))
            return [*results[:first], *(gradients[name] for name in parameters)]

        return Candidate(run(of_baseline(baseline), weights, precision), comparable)

    return Case(
        Candidate(run(ours, parameters, models.precision)),
        candidate(models.baseline, models.precision),
        candidate(models.exact, nullcontext),
        inputs,
        given=(*parameters.values(), *there(models.baseline.weights).values()),
        flips=FLIPS,
    )
