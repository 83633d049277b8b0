"""What the commands share."""

from __future__ import annotations

import ast
from argparse import Action, ArgumentError, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class ConfigOptions(Action):
    """mmengine's ``key=value`` words; dictionaries too: ``custom_hooks="[dict(type='EMAHook', momentum=0.1)]"``."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        from mmengine.config import DictAction

        options = dict(getattr(namespace, self.dest, None) or {})
        for word in values or ():
            key, equals, value = str(word).partition("=")
            if not (key and equals):
                raise ArgumentError(self, f"{word}: write key=value")
            try:
                is_literal = value.startswith(("dict(", "{", "[", "(")) and ("dict(" in value or "{" in value)
                options[key] = _evaluated(value) if is_literal else DictAction._parse_iterable(value)
            except (ValueError, SyntaxError, AssertionError, RecursionError, TypeError) as error:
                raise ArgumentError(
                    self, f"{key}: {value} is no value; lists are [a,b], and dictionaries dict(a=1) in quotes"
                ) from error
        setattr(namespace, self.dest, options)


def _name(key: Any) -> Any:
    if key is None:
        raise ValueError("** is no value")
    return key


def _evaluated(text: str) -> Any:
    """The value of a Python literal, in which ``dict(key=value)`` may be written.

    Raises:
        ValueError: if it is more than that.
        SyntaxError: if it is no Python.
    """

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Call):
            if not (isinstance(node.func, ast.Name) and node.func.id == "dict") or node.args:
                raise ValueError("only dict(key=value) may be called")
            return {_name(item.arg): value(item.value) for item in node.keywords}
        if isinstance(node, ast.Dict):
            return {value(_name(key)): value(item) for key, item in zip(node.keys, node.values)}
        if isinstance(node, (ast.List, ast.Tuple)):
            items = [value(item) for item in node.elts]
            return items if isinstance(node, ast.List) else tuple(items)
        return ast.literal_eval(node)

    return value(ast.parse(text, mode="eval").body)


def common_arguments(parser: ArgumentParser, *, without_config: str | None = None) -> None:
    """The arguments that mmdet's train and test tools have in common.

    Args:
        parser: gets them.
        without_config: what is taken where no config is named; one has to be by default.
    """
    if without_config is None:
        parser.add_argument("config", help="config file")
    else:
        parser.add_argument("config", nargs="?", help=f"config file; by default {without_config}")
    parser.add_argument(
        "--work-dir", help="folder of logs and checkpoints; work_dirs/<the config's path below configs> by default"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=ConfigOptions,
        help="override values of the config: key=value, nested keys with dots, lists as key=[a,b]",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by the launcher")


def given(text: str) -> str:
    """An argument that is not empty, as a variable of the shell is that is not set."""
    if not text.strip():
        raise ArgumentTypeError("it is empty; is a variable not set?")
    return text


def named(text: str) -> Path:
    """A path, of a text that is not empty: the empty one would be the current folder."""
    return Path(given(text))


def shape_argument(parser: ArgumentParser) -> None:
    """Of the image for which arithmetic is counted."""
    parser.add_argument(
        "--shape",
        nargs=2,
        type=int,
        default=(800, 1280),
        metavar=("HEIGHT", "WIDTH"),
        help="padded image, pixels; 800 1280",
    )


def trust_argument(parser: ArgumentParser, which: str = "the checkpoint") -> None:
    parser.add_argument(
        "--trust-checkpoint",
        action="store_true",
        help=f"read {which} also where it holds more than plain data, as other code writes; this may run code in it",
    )


def console_arguments(parser: ArgumentParser) -> None:
    """How much a run says, ``console``: one of :data:`lors_det.plugin.screen.console.LEVELS`."""
    group = parser.add_mutually_exclusive_group()
    told = {"quiet": "say a line for each validation, and warnings", "verbose": "say all that the log file says"}
    for level, words in told.items():
        group.add_argument(f"--{level}", dest="console", action="store_const", const=level, help=words)
    parser.set_defaults(console="short")
