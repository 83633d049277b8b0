"""The command line: ``lors-det COMMAND``, one module for each command; ``tools/`` holds the same as scripts.

A command's module has ``add_arguments(parser)`` and ``main(args)``; its docstring is its ``--help``. Modules are
imported when their command runs, and what takes seconds to import, torch and all that needs it, in the functions
that use it, after the arguments were checked: help and wrong arguments are answered at once.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import lors_det
from lors_det.errors import INTERRUPTED, TERMINATED, InputError, Terminated
from lors_det.named_files import resolve_checkpoint_path, resolve_config_path
from lors_det.processes import own_rank

COMMANDS = {
    "train": "train what a config says",
    "test": "evaluate a checkpoint",
    "infer": "detect objects in images, folders and videos",
    "check-data": "examine a data set before training on it",
    "check-config": "check a config without training",
    "convert": "convert checkpoints: published names, and folded models",
    "export": "write a model as an ONNX file, and compare it with torch",
    "make-shapes": "generate the synthetic detection set",
    "prepare-coco": "download COCO 2017, and check it",
    "voc-to-coco": "convert a split of a Pascal VOC set",
    "choose-threshold": "choose the score from which on detections count",
    "draw-sheet": "draw ground truth beside detections",
    "plot-curves": "plot losses and AP of a run",
    "count-params": "count a model's parameters by component",
    "count-flops": "count a model's arithmetic by component",
    "compare": "tabulate models side by side",
    "study": "run a study of configs, values, sets and seeds, and tabulate it",
    "demo": "train, evaluate and draw on the synthetic set, in minutes",
}
"""Command: what it does, in a line of ``lors-det --help``."""


def main() -> None:
    """The entry point of ``lors-det``."""
    parser = argparse.ArgumentParser(
        prog="lors-det",
        description="LORS-AdaMixer object detection. Each command has its own --help.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n" + "\n".join(f"  {name:<18}{summary}" for name, summary in COMMANDS.items()),
    )
    parser.add_argument("--version", action="version", version=f"lors_det {lors_det.__version__}")
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    if not sys.argv[1:]:
        parser.print_help(sys.stderr)
        sys.exit(2)
    name = parser.parse_args(sys.argv[1:2]).command
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        parser.error(f"{name} is no command" + (f", did you mean {near[0]}?" if near else "; --help lists them"))
    run(name, sys.argv[2:], prog=f"lors-det {name}")


def run(name: str, arguments: list[str] | None = None, prog: str | None = None) -> None:
    """Run a command of :data:`COMMANDS` by its name, see :func:`run_command`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # in a pipe too, where errors would come before what led to them
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")  # a name may have letters that it cannot print
    with _interruptible(), _missing_packages_told():
        run_command(importlib.import_module(f"lors_det.cli.{name.replace('-', '_')}"), arguments, prog)


class _Parser(argparse.ArgumentParser):
    """Says which option a word that is none was meant to be."""

    words: Sequence[str] = ()
    """What it parses."""

    def error(self, message: str) -> NoReturn:
        """End the process with a message, and what a word was meant to be that is no option."""
        known = list(self._option_string_actions)
        meant = []
        for name in (word.partition("=")[0] for word in takewhile(lambda word: word != "--", self.words)):
            if name.startswith("--") and name not in known:
                near = get_close_matches(name, known, n=1)
                meant.append(f"{name} is no option" + (f", did you mean {near[0]}?" if near else ""))
        if meant and message.startswith("unrecognized"):  # argparse names what stands behind such words too
            message = meant.pop(0)
        super().error("; ".join([message, *meant]))


def run_command(command: ModuleType, arguments: list[str] | None = None, prog: str | None = None) -> None:
    """Run a command's module; what a user can mend becomes one line on stderr and exit status 2, Ctrl-C status 130.

    Args:
        command: has ``add_arguments(parser)`` and ``main(args)``; ``OPTIONAL_FIRST``: its first word may be missing.
        arguments: its words; those of this process by default.
        prog: how the user called it, for its help; the script's name by default.
    """
    # part of an option's name is none: another version may have a second option that begins so
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(prog=prog, description=command.__doc__, formatter_class=form, allow_abbrev=False)
    parser.words = sys.argv[1:] if arguments is None else arguments
    command.add_arguments(parser)
    # an option between two words of which the first may be missing would else part them
    parse = parser.parse_intermixed_args if getattr(command, "OPTIONAL_FIRST", False) else parser.parse_args
    args = parse(arguments)
    for name, value in vars(args).items():  # a shell leaves the tilde of --work-dir=~/runs as it is
        if isinstance(value, (str, Path)) and str(value).startswith("~"):
            setattr(args, name, type(value)(os.path.expanduser(value)))
    try:
        with _interruptible():
            _check_named(args)
            command.main(args)
    except BrokenPipeError:  # who read the output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
        sys.exit(1)
    except (InputError, OSError) as error:
        # from a data worker, the message is a whole traceback that ends with the error's own line
        message = str(error).strip().rsplit("InputError: ", 1)[-1]
        # of several processes that fail for one reason, the first tells all of it
        rank = own_rank()
        print(
            f"error: {message}" if not rank else f"error in process {rank}: {message.partition(chr(10))[0]}",
            file=sys.stderr,
        )
        sys.exit(2)


def _check_named(args: argparse.Namespace) -> None:
    """Refuse a config or a checkpoint that does not exist before what reads it is imported, which takes seconds."""
    if isinstance(config := getattr(args, "config", None), str):
        resolve_config_path(config)
    for name in ("checkpoint", "src", "load_from", "resume"):
        path = getattr(args, name, None)
        if path not in (None, "auto") and "://" not in str(path):
            resolve_checkpoint_path(path)


@contextmanager
def _missing_packages_told() -> Iterator[None]:
    """A package that is not installed ends the process with a line in place of a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or importlib.util.find_spec(package):
            raise
        said = f"error: the Python package {package} is not installed; pip install -r requirements.txt installs all"
        print(said, file=sys.stderr)
        sys.exit(2)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the process with a line in place of a traceback."""
    try:
        yield
    except (KeyboardInterrupt, SyntaxError) as error:
        # mmengine takes a Ctrl-C while a config's text is laid out for an error of the text
        if isinstance(error, SyntaxError) and not isinstance(error.__context__, KeyboardInterrupt):
            raise
        told = isinstance(error, Terminated)
        print("ended, as SIGTERM asks" if told else "\ninterrupted", file=sys.stderr)
        sys.exit(TERMINATED if told else INTERRUPTED)
