"""What the checks look at: a folder, its splits as columns, and what its image files are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lors_det.data.doctor.image_facts import ImageFacts, read_facts
from lors_det.data.doctor.table import Table, read_table
from lors_det.data.record import DataFolder

Progress = Callable[[Iterable[ImageFacts], int], Iterable[ImageFacts]]

TRAINING_SIZE = (1333, 800)
"""Width and height that images are made to fit into, whatever way they lie, where no config says otherwise."""


@dataclass(frozen=True)
class Case:
    """A folder under examination."""

    folder: DataFolder
    tables: tuple[Table, ...]
    """Of train, val, test, as far as they exist."""
    facts: Mapping[str, ImageFacts] = field(default_factory=dict)
    """By path; empty where the image files are not looked at."""
    training_size: tuple[int, int] = TRAINING_SIZE

    def table(self, name: str) -> Table | None:
        """A split, if there is one of that name."""
        return next((table for table in self.tables if table.name == name), None)


def open_case(
    folder: DataFolder,
    *,
    with_images: bool = True,
    training_size: tuple[int, int] = TRAINING_SIZE,
    progress: Progress | None = None,
) -> Case:
    """Read what the checks need.

    Args:
        folder: the splits.
        with_images: read and decode the image files.
        training_size: width and height in pixels that images fit into in training.
        progress: given the iterator over the files and their number, returns one that shows how far it is.
    """
    order = [name for name in ("train", "val", "test") if name in folder.splits]
    tables = tuple(read_table(folder.splits[name]) for name in order)
    facts: dict[str, ImageFacts] = {}
    if with_images:
        paths = dict.fromkeys(table.path(index) for table in tables for index in range(len(table.images)))
        found: Iterable[ImageFacts] = read_facts(list(paths))
        facts = dict(zip(paths, progress(found, len(paths)) if progress else found))
    return Case(folder, tables, facts, training_size)
