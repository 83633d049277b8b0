"""Operations of mmcv's compiled extension, by torchvision, for an mmcv without that extension.

Names and arguments are those that ``mmcv.ops`` calls, and results go where it expects them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torchvision
from torch import Tensor

__all__ = ["deform_conv_backward_input", "deform_conv_backward_parameters", "deform_conv_forward", "nms"]


@contextmanager
def shapes_alone() -> Iterator[None]:
    """Deformable convolutions (DCN v1) run on the meta device meanwhile, where mmcv's compiled one does not."""
    extension = importlib.import_module("mmcv.ops.deform_conv").ext_module
    compiled = extension.deform_conv_forward
    extension.deform_conv_forward = deform_conv_forward
    try:
        yield
    finally:
        extension.deform_conv_forward = compiled


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Offset 1 counts the last pixel of a box as inside."""
    boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    return torchvision.ops.nms(boxes, scores, iou_threshold)


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **sizes: int
) -> None:
    """Write the convolution into ``output``; ``columns`` and ``ones`` are scratch that torchvision does not need."""
    output.copy_(_deform_conv(input, offset, weight, sizes))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **sizes: int,
) -> None:
    """Write the gradients of input and offset into ``grad_input`` and ``grad_offset``."""
    for_input, for_offset, _ = _gradients(input, offset, weight, grad_output, sizes)
    grad_input.copy_(for_input)
    grad_offset.copy_(for_offset)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **sizes: int,
) -> None:
    """Add ``scale`` times the gradient of the weight, of which only the shape is known here, to ``grad_weight``."""
    weight = torch.zeros_like(grad_weight)  # the convolution is linear in it
    grad_weight.add_(_gradients(input, offset, weight, grad_output, sizes)[2], alpha=scale)


def _deform_conv(input: Tensor, offset: Tensor, weight: Tensor, sizes: dict[str, int]) -> Tensor:
    """``sizes`` as mmcv names them. Narrow types are computed in float32: torchvision has no bfloat16.

    torchvision deduces both numbers of groups from the shapes, so shapes that do not fit would give another
    convolution in silence.
    """
    channels, offsets = weight.shape[1] * sizes["group"], 2 * sizes["deformable_group"] * sizes["kH"] * sizes["kW"]
    if input.shape[1] != channels or offset.shape[1] != offsets:
        raise ValueError(
            f"deformable convolution of {input.shape[1]} channels with {offset.shape[1]} offsets; with its weight and "
            f"groups it takes {channels} channels and {offsets} offsets"
        )
    wide = torch.promote_types(input.dtype, torch.float32)
    return torchvision.ops.deform_conv2d(
        input.to(wide),
        offset.to(wide),
        weight.to(wide),
        stride=(sizes["dH"], sizes["dW"]),
        padding=(sizes["padH"], sizes["padW"]),
        dilation=(sizes["dilationH"], sizes["dilationW"]),
    )


def _gradients(
    input: Tensor, offset: Tensor, weight: Tensor, grad_output: Tensor, sizes: dict[str, int]
) -> tuple[Tensor, ...]:
    """Of input, offset and weight; mmcv calls from inside a backward pass, where autograd is off."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in (input, offset, weight)]
        output = _deform_conv(leaves[0], leaves[1], leaves[2], sizes)
    return torch.autograd.grad(output, leaves, grad_output.to(output.dtype))
