"""Fixtures that several test files use."""

from __future__ import annotations

import gc
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

if torch.cuda.is_available():
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once: deterministic products ask for it
else:
    os.environ["TRITON_INTERPRET"] = (
        "1"  # read when Triton is imported: kernels run on the CPU, one operation at a time
    )

from mmengine.registry import init_default_scope

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]  # for `references`, and for `benchmarks`
torch.set_num_threads(1)  # tensors are tiny: threads would wait for each other


def pytest_collection_finish() -> None:
    """What the libraries consist of stays: without it, each data set that mmengine builds collects garbage quickly."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_start() -> None:
    """Every test starts from the same seed, and with the names of mmdet's registries."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the generator that mmcv's transforms draw from
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(False)  # a run that sets it leaves it on
    init_default_scope("mmdet")


BCCD = (ROOT.parent / "shared/data/bccd", ROOT / "data/bccd/BCCD")
"""Where the photographs of blood cells may be, of which README.md speaks."""


@pytest.fixture(scope="session")
def bccd() -> Path:
    """The folder of the blood cells, in Pascal VOC's form."""
    found = next((folder for folder in BCCD if folder.is_dir()), None)
    if found is None:
        pytest.skip(f"the photographs of blood cells are neither at {BCCD[0]} nor at {BCCD[1]}")
    return found


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
