"""Fixtures that several test files use."""

from __future__ import annotations

import gc
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Iterator

    from references.trained import Trained

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]  # for `references`, and for `benchmarks`
torch.set_num_threads(1)  # tensors are tiny: threads would wait for each other

LONGEST = (
    "studies/test_running.py",
    "cli/test_train.py",
    "tools/test_launchers.py",
    "plugin/test_distributed.py",
    "training/test_kill.py",
    "benchmarks/test_command.py",
    "plugin/loop/test_mixed_precision.py",
    "ops/test_kernel_resources.py",
    "training/test_extreme_data.py",
    "checkpoints/test_published.py",
    "test_wheel.py",
)
"""Files that take a minute or more, the longest first: they come first, so that no core waits for one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the order of :data:`LONGEST`; pytest-xdist's own, by the number of tests, is off in the Makefile."""
    places = {ROOT / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """What the libraries consist of stays: without it, each data set that mmengine builds collects garbage quickly."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _formatted_once() -> Iterator[None]:
    """Each run prints its config's text five times, which yapf takes a tenth of a second to lay out."""
    from mmengine.config import config

    lay_out, laid_out = config.FormatCode, {}

    def remembered(code: str, style_config: dict[str, object]) -> tuple[str, bool]:
        if code not in laid_out:
            laid_out[code] = lay_out(code, style_config=style_config)
        return laid_out[code]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "FormatCode", remembered)
        yield


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
def data(tmp_path_factory) -> Path:
    """The tiny set of shapes, which tests read and do not change."""
    from references.tiny import make_data  # mmdet takes seconds, which not every test needs

    return make_data(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """A tiny model that was trained for a moment, and its data, which tests read and do not change."""
    from references.trained import train_tiny  # mmdet takes seconds, which not every test needs

    return train_tiny(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
