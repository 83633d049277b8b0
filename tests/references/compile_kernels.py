"""Compile the kernels for GPUs that are not there, and print what they need of them, as JSON.

Its own process: Triton compiles only where its interpreter was never switched on.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lors_det.ops.triton import mix, sample

CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


def resources(kernel: triton.JITFunction, constants: dict, types: dict, capability: int, num_warps: int) -> dict:
    """Registers and spilled bytes of a thread, and shared memory of a program, in bytes."""
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else types[name] for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if name.endswith("pointer")}
    values = {(names.index(name),): value for name, value in constants.items()}
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(ASTSource(kernel, signature, values, aligned), target, {"num_warps": num_warps})
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = subprocess.run([CUOBJDUMP, "--dump-resource-usage", file.name], capture_output=True, text=True).stdout
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    return {"registers": int(registers), "spilled": int(stack), "shared": compiled.metadata.shared}


def mix_kernels(capability: int, dtype: str, shape: tuple[int, int, int]) -> dict[str, dict]:
    backward = (mix.mix_backward,) if capability >= 90 else (mix.mix_backward_out, mix.mix_backward_hidden)
    constants = {**mix.constants(*shape), "PRECISION": "tf32" if dtype == "fp32" else "ieee"}
    return {
        kernel.__name__: resources(
            kernel, constants, dict.fromkeys(kernel.arg_names, f"*{dtype}"), capability, mix.NUM_WARPS
        )
        for kernel in (mix.mix_forward, *backward)
    }


def sample_kernels(capability: int, dtype: str, shape: tuple[int, int, int]) -> dict[str, dict]:
    found = {}
    for kernel, num_warps in (
        (sample.sample_forward, sample.FORWARD_WARPS),
        (sample.sample_backward, sample.BACKWARD_WARPS),
    ):
        types = {name: "*fp32" if name.endswith("pointer") else "i32" for name in kernel.arg_names}
        types |= {"levels_pointer": "*i32"}
        types |= dict.fromkeys(("bank_pointer", "out_pointer", "grad_pointer"), f"*{dtype}")
        constants = sample.constants(*shape, (4, 8, 16, 32))
        found[kernel.__name__] = resources(kernel, constants, types, capability, num_warps)
    return found


def main() -> None:
    capability, dtype, *shape = sys.argv[1:]
    num_groups, num_points, channels, num_out = map(int, shape)
    found = mix_kernels(int(capability), dtype, (num_points, channels, num_out))
    found |= sample_kernels(int(capability), dtype, (num_groups, num_points, channels))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
