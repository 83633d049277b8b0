"""Batches that know where they stand: the images of each draw from a seed of their own, whichever worker loads them.

So an epoch can be entered at any batch, without reading those before it, and with any number of workers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from lors_det.plugin.loop.seeds import generators_kept, seed_generators, seed_of


class Batch(list[int]):
    """Indices of a batch, and its place, which its random draws follow."""

    place: tuple[int, ...] = ()

    @classmethod
    def at(cls, indices: Iterable[int], place: tuple[int, ...]) -> Batch:
        batch = cls(indices)
        batch.place = place
        return batch


class PlacedBatches(Sampler[Batch]):
    """The batches of a batch sampler, from one of them on.

    Attributes:
        place: of the epoch that is iterated next; a batch adds its number.
        first: the number of the batch that the next iteration begins with; those before it are drawn and not read.
    """

    def __init__(self, batches: Any) -> None:
        self.batches = batches
        self.place: tuple[int, ...] = ()
        self.first = 0

    @property
    def sampler(self) -> Any:
        """Which is told the epoch."""
        return self.batches.sampler

    @property
    def batch_size(self) -> int:
        return int(self.batches.batch_size)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        place, first = self.place, self.first
        for number, indices in enumerate(self.batches):
            if number >= first:
                yield Batch.at(indices, (*place, number))


class SeededFetch:
    """Reads the items of a batch, each with the generators seeded by its place; a dataset's ``__getitems__``."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def __call__(self, batch: Batch) -> list[Any]:
        items = []
        with generators_kept():  # of the process that trains, where there is no worker
            for position, index in enumerate(batch):
                seed_generators(seed_of(*batch.place, position))
                items.append(self._dataset[index])
        return items


def placed(loader: DataLoader[Any]) -> tuple[DataLoader[Any], PlacedBatches]:
    """The same loader over :class:`PlacedBatches`, and these."""
    batches = PlacedBatches(loader.batch_sampler)
    dataset: Any = loader.dataset
    dataset.__getitems__ = SeededFetch(dataset)  # which torch calls with a batch, where a data set has it
    of_batches = {"dataset", "batch_size", "shuffle", "sampler", "batch_sampler", "drop_last"}
    names = [name for name in inspect.signature(DataLoader).parameters if name not in of_batches]
    options: dict[str, Any] = {name: getattr(loader, name) for name in names if hasattr(loader, name)}
    return DataLoader(dataset, batch_sampler=batches, **options), batches
