"""The kernels compile for real GPUs without spilling registers, at the published shapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="Triton is not installed; kernels are not tested")

SHARED_MEMORY = {80: 163 * 1024, 90: 227 * 1024}
"""Bytes that a program may have on a GPU of a compute capability."""


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("shape", [(2, 64, 128, 128), (4, 32, 64, 128)], ids=["lors", "adamixer"])
def test_no_spills(root, capability, dtype, shape):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, root / "tests/references/compile_kernels.py", str(capability), dtype, *map(str, shape)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    kernels = json.loads(done.stdout)
    assert {"mix_forward", "sample_forward", "sample_backward"} < set(kernels)
    for name, needs in kernels.items():
        assert needs["spilled"] == 0, (name, needs)
        assert needs["registers"] <= 255
        assert needs["shared"] <= SHARED_MEMORY[capability], (name, needs)
