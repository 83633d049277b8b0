"""What the command-line tools share."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable

from mmengine.config import DictAction

from lors_det.errors import InputError

INTERRUPTED = 130
"""Exit status after Ctrl-C, the shell's convention."""


def common_arguments(parser: ArgumentParser) -> None:
    """The arguments that mmdet's train and test tools have in common."""
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="folder of logs and checkpoints; work_dirs/<config> by default")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        help="override values of the config: key=value, nested keys with dots, lists as key=[a,b]",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by the launcher")


def run(main: Callable[[], None]) -> None:
    """Call a tool's main function; an :class:`InputError` becomes one line on stderr and exit status 2."""
    try:
        main()
    except InputError as error:
        # from a data worker, the message is a whole traceback that ends with the error's own line
        message = str(error).strip().rsplit("InputError: ", 1)[-1]
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)


def export_local_rank(local_rank: int) -> None:
    """Tell mmengine the process's rank on this machine, which torchrun sets and older launchers pass."""
    os.environ.setdefault("LOCAL_RANK", str(local_rank))
