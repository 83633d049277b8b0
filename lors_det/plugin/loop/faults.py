"""Numbers that are not finite: what is kept of the step that met them, and how it is seen again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.structures import InstanceData
from torch import Tensor, nn

from lors_det.files import write_whole
from lors_det.plugin.loop.seeds import seed_generators
from lors_det.plugin.saving.safe_loading import load_from_local

LEAST_SCALE = 1e-3
"""Below this, no loss of a model that learns has to be scaled."""

MOST_NAMED = 3
"""Parameters that a message names."""


def check_gradients(parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
    """One look at all gradients; after a reduction over processes, it is the same in each.

    Raises:
        FloatingPointError: if one is not finite; it names the first parameters.
    """
    named = [(name, parameter.grad) for name, parameter in parameters if parameter.grad is not None]
    norms = torch._foreach_norm([gradient for _, gradient in named]) if named else ()
    if not named or bool(torch.stack([norm.float() for norm in norms]).isfinite().all()):
        return
    # a norm overflows where large numbers are finite, and such a step would do as much harm
    faulty = [name for (name, _), norm in zip(named, norms) if not bool(norm.isfinite())]
    others = f" and of {len(faulty) - MOST_NAMED} others" if len(faulty) > MOST_NAMED else ""
    raise FloatingPointError(f"the gradients of {', '.join(faulty[:MOST_NAMED])}{others} are not finite")


@contextmanager
def checked_steps(optim_wrapper: OptimWrapper, model: nn.Module) -> Iterator[None]:
    """Inside, the wrapper steps on finite gradients alone.

    Raises:
        FloatingPointError: of a step, before it changes a weight. In fp16, whose range is small, gradients of a loss
            that is scaled too much are no fault: mixed precision skips such steps by itself, and scales the loss down;
            there it is raised where the scale has shrunk to nothing.
    """
    make = optim_wrapper.step

    def step(**kwargs: Any) -> None:
        if not _scales_down(optim_wrapper):
            try:
                check_gradients(model.named_parameters())
            except FloatingPointError as error:
                steps = optim_wrapper._accumulative_counts
                if steps == 1:
                    raise
                raise FloatingPointError(f"{error}, of which any of the last {steps} steps may be the cause") from error
        else:
            scale = optim_wrapper.loss_scaler.get_scale()
            if scale < LEAST_SCALE:
                raise FloatingPointError(f"gradients were not finite time after time: the loss is scaled by {scale:g}")
        make(**kwargs)

    # schedules count steps by the method that this one calls, and warn where they do not find their mark
    if hasattr(make, "_with_counter"):
        step._with_counter = True  # type: ignore[attr-defined]
        # nor that a schedule's first step has no update before it, as where gradients are accumulated, is a fault
        optim_wrapper._global_step = max(0, optim_wrapper._global_step)
    optim_wrapper.step = step
    try:
        yield
    finally:
        del optim_wrapper.step


def _scales_down(optim_wrapper: OptimWrapper) -> bool:
    """Whether the wrapper answers gradients that are not finite by a smaller scale of the loss."""
    return (
        isinstance(optim_wrapper, AmpOptimWrapper)
        and optim_wrapper.loss_scaler.is_enabled()
        and optim_wrapper._scale_update_param is None  # else the scale stays as it is
        and optim_wrapper.cast_dtype is not torch.bfloat16  # which has the range of float32
    )


def keep_step(path: Path, batch: Mapping[str, Any], model: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write what a step was made of, as plain data: its weights, images and boxes, its seed, and ``facts``.

    Args:
        path: of the file.
        batch: as the data loader gave it.
        model: whose weights made the step.
        facts: what else is known: the seed of its draws, the config, the message.
    """
    samples = [
        {
            "image": str(sample.get("img_path", "")),
            "meta": {key: _plain(value) for key, value in sample.metainfo.items()},
            "boxes": _boxes(sample).cpu(),
            "labels": sample.gt_instances.labels.cpu(),
        }
        for sample in batch["data_samples"]
    ]
    inputs = [image.cpu() for image in batch["inputs"]]
    content = {**facts, "samples": samples, "inputs": inputs, "state_dict": model.state_dict()}
    write_whole(path, lambda file: torch.save(content, file), lasting=True)


def replay(path: Path) -> dict[str, Tensor]:
    """Make the losses, and their gradients, of a step that :func:`keep_step` wrote; on the CPU, in float32.

    What the step drew on a GPU, denoising queries and noise between stages, is drawn anew; and what only half precision
    cannot hold is no fault here. A step that is replayed without one may have had such a cause.

    Returns:
        The losses, where nothing is wrong any more.

    Raises:
        FloatingPointError: what the step met.
    """
    kept = load_from_local(str(path), "cpu")
    model = MODELS.build(Config(kept["config"]).model)
    model.load_state_dict(kept["state_dict"])
    samples = []
    for sample in kept["samples"]:
        truth = InstanceData(bboxes=sample["boxes"], labels=sample["labels"])
        samples.append(DetDataSample(metainfo=sample["meta"], gt_instances=truth))
    seed_generators(kept["seed"])
    model.train()
    data = model.data_preprocessor({"inputs": kept["inputs"], "data_samples": samples}, training=True)
    losses: dict[str, Tensor] = model(**data, mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    check_gradients(model.named_parameters())
    return losses


def _boxes(sample: DetDataSample) -> Tensor:
    boxes = sample.gt_instances.bboxes
    plain: Tensor = getattr(boxes, "tensor", boxes)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
