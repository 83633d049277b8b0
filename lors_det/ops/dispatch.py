"""Whether an operation runs as a fused kernel: decided for each call, with a reason in words where it does not.

The environment variable ``LORS_DET_KERNELS`` is the policy: ``auto`` (default) takes kernels where they can run and
logs once why not where they cannot; ``off`` never takes them; ``require`` raises where they cannot run, so that a test
of them cannot pass on plain torch.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
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


def use_kernel(operation: str, obstacle: str | None) -> bool:
    """Whether to run a kernel.

    Args:
        operation: its name, for messages.
        obstacle: why it cannot run here, in words; None where it can.

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
    _log_once(f"{operation} runs in plain torch: {obstacle}")
    return False


def obstacle_of(*tensors: Tensor) -> str | None:
    """What keeps any fused kernel from running on these tensors, in words; None if nothing does."""
    devices, dtypes = {tensor.device for tensor in tensors}, {tensor.dtype for tensor in tensors}
    if len(devices) > 1:
        return f"its tensors are on different devices, {', '.join(sorted(map(str, devices)))}"
    (device,) = devices
    if device.type != "cuda":
        return f"its tensors are on the {device.type.upper()}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    if not dtypes <= set(DTYPES):
        return f"it has no kernel for {', '.join(sorted(str(dtype).removeprefix('torch.') for dtype in dtypes))}"
    if not (os.environ.get("CC") or any(map(shutil.which, ("gcc", "clang", "cc")))):
        return "Triton finds no C compiler for its launchers (install gcc)"
    return None


@cache
def _log_once(message: str) -> None:
    _logger.info(message)
