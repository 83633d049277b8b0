"""What the commands share."""

from __future__ import annotations

from argparse import ArgumentParser

from mmengine.config import DictAction


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


def console_arguments(parser: ArgumentParser) -> None:
    """How much a run says, ``console``: one of :data:`lors_det.plugin.screen.console.LEVELS`."""
    group = parser.add_mutually_exclusive_group()
    told = {"quiet": "say a line for each validation, and warnings", "verbose": "say all that the log file says"}
    for level, words in told.items():
        group.add_argument(f"--{level}", dest="console", action="store_const", const=level, help=words)
    parser.set_defaults(console="short")
