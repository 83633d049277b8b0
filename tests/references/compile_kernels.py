"""Ask what runs on GPUs that are not there, and what that needs of them; prints JSON.

    compile_kernels.py CAPABILITY=SHARED_MEMORY=CASE+CASE... ...

where a case is ``mix,DTYPE,P,C,O`` or ``sample,DTYPE,G,P,C``, both directions of it.

A stand-in for Triton's driver says that the GPUs are there: each has its capability for an index, its kernels are
compiled for it in earnest, and "loading" them counts their registers. So what decides here is the package's own
code. Its own process: Triton compiles only where its interpreter was never switched on.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from lors_det.ops.triton import launch, mix, sample

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
STRIDES = (4, 8, 16, 32)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class AbsentGPUs:
    """What Triton asks of a driver to compile and load a kernel, for the current one of several GPUs."""

    def __init__(self, shared_memory: dict[int, int]) -> None:
        self.shared_memory = shared_memory
        self.current = next(iter(shared_memory))
        self.loaded: dict[tuple[int, str], dict[str, int]] = {}
        """By GPU and kernel, as last loaded: registers and spilled bytes of a thread, bytes of a program's memory."""
        self.utils = self

    @contextmanager
    def on(self, device: torch.device) -> Iterator[None]:
        self.current = device.index
        yield

    def get_current_device(self) -> int:
        return self.current

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.current, 32)

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": self.shared_memory[device]}

    def launcher_cls(self, source: object, metadata: object) -> None:
        return None

    def load_binary(self, name: str, cubin: bytes, shared: int, device: int) -> tuple[object, None, int, int, int]:
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(cubin)
            file.flush()
            command = [CUOBJDUMP, "--dump-resource-usage", file.name]
            usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        registers, spilled = map(int, re.search(r"REG:(\d+) STACK:(\d+)", usage).groups())
        self.loaded[device, name] = {"registers": registers, "spilled": spilled, "shared": shared}
        return name, None, registers, spilled // 4, 1024

    def unload_module(self, module: object) -> None:
        """There is none."""


def choice(gpus: AbsentGPUs, capability: int, case: str) -> dict[str, object]:
    """What runs: the obstacle or none, the kernels of the path taken, and what each of them needs."""
    operation, dtype, *sizes = case.split(",")
    first, second, third = map(int, sizes)
    device = torch.device("cuda", capability)
    if operation == "sample":
        obstacle = sample.obstacle(device, DTYPES[dtype], (first, second, third), STRIDES, True)
        taken = ["sample_forward", "sample_backward"]
    else:
        precision = "tf32" if dtype == "fp32" else "ieee"
        split, obstacle = mix.plan(device, DTYPES[dtype], (first, second, third), precision, True)
        backward = ["mix_backward_out", "mix_backward_hidden"] if split else ["mix_backward"]
        taken = ["mix_forward", *backward]
    needs = {} if obstacle else {name: gpus.loaded[capability, name] for name in taken}
    return {"obstacle": obstacle, "kernels": needs}


def main() -> None:
    work = [argument.split("=") for argument in sys.argv[1:]]
    gpus = AbsentGPUs({int(capability): int(memory) for capability, memory, _ in work})
    driver.set_active(gpus)
    launch.on = gpus.on
    print(
        json.dumps({gpu: {case: choice(gpus, int(gpu), case) for case in cases.split("+")} for gpu, _, cases in work})
    )


if __name__ == "__main__":
    main()
