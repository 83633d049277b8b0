"""Checkpoint files that are whole or not there, and named and removed in an order that loses none."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lors_det.errors import InputError
from lors_det.files import write_whole


class CheckpointFile(NamedTuple):
    """A checkpoint to be written.

    Attributes:
        path: its file.
        content: of the checkpoint.
        note: the file that is to name it, if one is.
    """

    path: Path
    content: dict[str, Any]
    note: Path | None = None


def write_all(files: list[CheckpointFile], outdated: list[Path]) -> None:
    """Write checkpoints, each whole or not at all; then what names them; and remove others after that.

    Raises:
        InputError: if one cannot be written; it names the one to go on from.
    """
    for file in files:
        try:
            write_whole(file.path, partial(torch.save, file.content), lasting=True)
        except InputError as error:
            raise InputError(f"{error}; mend that, and {_way_on(files)}") from error
    for file in files:
        if file.note is not None:
            name = str(file.path).encode()
            write_whole(file.note, lambda to, name=name: to.write(name), lasting=True)  # type: ignore[misc]
    written = {file.path for file in files}
    for path in outdated:
        if path not in written:
            path.unlink(missing_ok=True)


def _way_on(files: list[CheckpointFile]) -> str:
    """What is left to go on from where these cannot be written."""
    notes = (file.note for file in files if file.note is not None and file.note.is_file())
    last = next((note.read_text() for note in notes), None)
    return f"go on from {last} with --resume" if last else "train again: no checkpoint was written yet"
