"""Launching a kernel on its tensors' device, and finding out beforehand whether it can be."""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from triton.runtime import OutOfResources


def launch(kernel: Any, grid: tuple[int, ...], arguments: Sequence[Any], options: Mapping[str, object]) -> None:
    """Run a kernel on the device of its first argument, a tensor; the only place where kernels start."""
    with on(arguments[0].device):
        kernel[grid](*arguments, **options)


def on(device: torch.device) -> AbstractContextManager[object]:
    """Make a device the current one: Triton compiles for that and starts kernels there, wherever their tensors are."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def misfit(
    kernel: Any, device: torch.device, arguments: Sequence[torch.dtype | int], options: Mapping[str, object]
) -> str | None:
    """Why a kernel cannot run well on a device, in words; None where it can.

    Compiles and loads it without running it, as the first launch would, so that what a device, a C compiler or a
    driver lacks is known before anything depends on the kernel.

    Args:
        kernel: a jitted function.
        device: a CUDA device.
        arguments: as for a launch, with the dtype of a tensor in its place.
        options: compile-time constants and Triton's options.
    """
    name = kernel.__name__
    try:
        with on(device):
            compiled = kernel.warmup(*arguments, grid=(1,), **options)
            compiled._init_handles()  # loads it; nothing public does without a launch
    except OutOfResources as error:
        unit = " bytes" if error.name == "shared memory" else ""
        return f"{name} needs {error.required}{unit} of {error.name} for a program, and {device} has {error.limit}"
    except Exception as error:  # compilers, the file system and the driver each raise their own kinds
        return f"{name} cannot be compiled and loaded: {_in_words(error)}"
    if compiled.n_spills:
        return f"{name} has too few registers on {device} and would spill {compiled.n_spills} of them"
    return None


def _in_words(error: Exception) -> str:
    """One line that is the same each time: the text of a failed command has a temporary path in it."""
    if isinstance(error, subprocess.CalledProcessError):
        command = error.cmd[0] if isinstance(error.cmd, (list, tuple)) else error.cmd
        if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
            return f"{command} finds no Python.h of this Python (install its headers, e.g. python3-dev)"
        return f"{command} failed with status {error.returncode}"
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}" if str(error).strip() else repr(error)
