"""Random draws as a function of where a training stands, and of nothing that came before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_of(*place: int) -> int:
    """A seed of 64 bits from non-negative numbers; other numbers, or another order of them, give an independent one."""
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])


def seed_generators(seed: int) -> None:
    """Seed what transforms and models draw from: ``random``, NumPy's global generator, torch's on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that mmcv's transforms draw from
    torch.manual_seed(seed)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Afterwards, the generators of the CPU go on as if nothing had been drawn inside."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
