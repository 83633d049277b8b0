"""What runs on real GPUs at the published shapes fits them: no kernel spills registers or exceeds the shared memory.

The kernels are compiled for GPUs that need not be there, and the package itself decides which of them run. Triton keeps
what it compiled on disk, so only the first run on a machine takes its minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed; kernels are not tested")

SHARED_MEMORY = {
    80: 163 * 1024,
    86: 99 * 1024,
    89: 99 * 1024,
    90: 227 * 1024,
    100: 227 * 1024,
    120: 99 * 1024,
}
"""Bytes that a program may have on a GPU of a compute capability."""

CASES = {
    "mix,fp32,64,128,128": tuple(SHARED_MEMORY),  # needs most
    "mix,bf16,64,128,128": tuple(SHARED_MEMORY),
    "mix,fp16,64,128,128": (86, 90),  # products of registers and of shared memory
    "mix,fp32,32,64,128": (90,),
    "mix,bf16,32,64,128": (90,),
    "sample,fp32,2,64,128": (80, 90, 120),
}
"""GPUs by what is compiled for them: LORS's shapes and AdaMixer's. A bank is float32 whatever a model computes in."""


@pytest.fixture(scope="module")
def choices(root) -> dict[str, dict]:
    """What runs, by GPU and case, from one process."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    work = {gpu: "+".join(case for case, gpus in CASES.items() if gpu in gpus) for gpu in SHARED_MEMORY}
    arguments = [f"{gpu}={SHARED_MEMORY[gpu]}={cases}" for gpu, cases in work.items()]
    arguments.append(f"87={16 * 1024}=mix,bf16,32,64,128")  # less memory than any GPU has
    command = [sys.executable, root / "tests/references/compile_kernels.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("capability", "case"), [(gpu, case) for case, gpus in CASES.items() for gpu in gpus])
def test_what_runs_fits(choices, capability, case):
    chosen = choices[str(capability)][case]
    assert chosen["obstacle"] is None
    assert len(chosen["kernels"]) >= 2  # a kernel a direction
    for name, needs in chosen["kernels"].items():
        assert needs["spilled"] == 0, (name, needs)
        assert needs["registers"] <= 255
        assert needs["shared"] <= SHARED_MEMORY[capability], (name, needs)


def test_a_gpu_with_less_memory_has_an_obstacle_in_words(choices):
    """Rather than an error in the backward pass."""
    assert choices["87"]["mix,bf16,32,64,128"] == {
        "obstacle": "mix_backward_hidden needs 20480 bytes of shared memory for a program, and cuda:87 has 16384",
        "kernels": {},
    }
