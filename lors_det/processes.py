"""The processes of a run, as their launcher says before they have met."""

from __future__ import annotations

import os

_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
"""The innermost launcher's first: torchrun, where Slurm starts one on each machine, has an order of its own."""

_COUNTS = {"pytorch": "WORLD_SIZE", "slurm": "SLURM_NTASKS", "mpi": "OMPI_COMM_WORLD_SIZE"}


def own_rank() -> int:
    """The number of this process, from 0 on; 0 where it is the only one."""
    found = next((value for name in _RANKS if (value := os.environ.get(name)) is not None), "0")
    return int(found) if found.isdecimal() else 0


def is_first_process() -> bool:
    """Whether this process is the only one or the first."""
    return own_rank() == 0


def process_count(launcher: str) -> int:
    """How many processes a launcher started; 1 without one, or where it has not started this process."""
    found = os.environ.get(_COUNTS.get(launcher, ""), "1")
    return int(found) if found.isdecimal() and int(found) else 1
