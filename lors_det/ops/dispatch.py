"""Whether an operation runs as a fused kernel: decided for each call, with a reason in words where it does not.

The environment variable ``LORS_DET_KERNELS`` is the policy: ``auto`` (default) takes kernels where they can run, and
warns once why not where a GPU runs without them; ``off`` never takes them; ``require`` raises where they cannot run, so
that a test of them cannot pass on plain torch.
"""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from functools import cache

import torch
from torch import Tensor

POLICIES = ("auto", "off", "require")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

_logger = logging.getLogger(__name__)


def policy() -> str:
    """The kernel policy.

    Raises:
        ValueError: if the environment variable has another value than the three.
    """
    value = os.environ.get("LORS_DET_KERNELS", "auto")
    if value not in POLICIES:
        raise ValueError(f"environment variable LORS_DET_KERNELS is {value!r}; it must be one of {', '.join(POLICIES)}")
    return value


def use_kernel(operation: str, obstacle: str | None, *, warn: bool = False) -> bool:
    """Whether to run a kernel.

    Args:
        operation: its name, for messages.
        obstacle: why it cannot run here, in words; None where it can.
        warn: whether the caller loses speed by that: each reason is then a warning, once; else it is logged, once.

    Raises:
        RuntimeError: if the policy requires the kernel and it cannot run.
    """
    chosen = policy()
    if chosen == "off":
        return False
    if obstacle is None:
        return True
    if chosen == "require":
        raise RuntimeError(
            f"the fused kernel of {operation} is required (LORS_DET_KERNELS=require), but {obstacle}; remove the "
            "obstacle, or set LORS_DET_KERNELS=auto to run plain torch"
        )
    if not torch.compiler.is_compiling():  # telling would break the graph
        _tell_once(f"{operation} runs in plain torch: {obstacle}", warn)
    return False


def obstacle_of(*tensors: Tensor) -> str | None:
    """What keeps any fused kernel from running on these tensors, in words; None if nothing does."""
    if policy() == "off":
        return "kernels are switched off"  # before anything is compiled to find out whether it can be
    devices, dtypes = {tensor.device for tensor in tensors}, {tensor.dtype for tensor in tensors}
    if len(devices) > 1:
        return f"its tensors are on different devices, {', '.join(sorted(map(str, devices)))}"
    (device,) = devices
    if device.type != "cuda":
        return f"its tensors are on the {device.type.upper()}"
    obstacle = _obstacle_of_device(device)
    if obstacle is not None:
        return obstacle
    if not dtypes <= set(DTYPES):
        return f"it has no kernel for {', '.join(sorted(str(dtype).removeprefix('torch.') for dtype in dtypes))}"
    return None


def differentiated(*tensors: Tensor) -> bool:
    """Whether a backward pass through an operation on these tensors may follow."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def tf32_allowed() -> bool:
    """Whether torch makes float32 products of CUDA tensors in TF32, by whichever of its two settings that was said."""
    matmul = torch.backends.cuda.matmul
    chosen = getattr(matmul, "fp32_precision", None)  # torch >= 2.9, where the older setting may raise when it is read
    return bool(matmul.allow_tf32) if chosen is None else chosen == "tf32"


@cache
def _obstacle_of_device(device: torch.device) -> str | None:
    """What does not change in a process."""
    try:
        importlib.import_module("triton")
    except ImportError as error:
        return f"Triton cannot be imported: {error} (pip install triton)"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    return None


@cache
def _tell_once(message: str, warn: bool) -> None:
    if warn:
        warnings.warn(
            f"{message}. It is slower so, and takes more memory (LORS_DET_KERNELS=off says that this is meant, "
            "LORS_DET_KERNELS=require makes it an error)",
            stacklevel=4,
        )
    else:
        _logger.info(message)
