"""One file written at a time, while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import torch


class BackgroundWriter:
    """Runs jobs in a thread, in order, no more than one of them unfinished: memory holds one snapshot at most.

    What a job raised is raised by the next call. A process that ends by itself finishes its job first.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._job: Future[None] | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job once the one before it has ended."""
        self.wait()
        self._job = self._thread.submit(job)

    def wait(self) -> None:
        """Return when nothing is being written."""
        if self._job is None:
            return
        wait([self._job])  # Ctrl-C here forgets nothing
        job, self._job = self._job, None
        job.result()


class Snapshots:
    """Copies of nested values, whose tensors are on the CPU; each takes the place of the one before it.

    The memory is kept, because its first use costs several times the copying, and a training waits for that.
    """

    def __init__(self) -> None:
        self._kept: list[torch.Tensor] = []

    def take(self, value: Any) -> Any:
        """The same with each tensor copied, tensors of one storage once; what training changes, the copy keeps."""
        before, self._kept = iter(self._kept), []
        return self._copied(value, {}, before)

    def _copied(self, value: Any, copies: dict[tuple[Any, ...], torch.Tensor], before: Iterator[torch.Tensor]) -> Any:
        if isinstance(value, torch.Tensor):
            key = (value.device, value.data_ptr(), value.shape, value.stride(), value.dtype)
            if key not in copies or not value.numel():
                copies[key] = self._copy(value.detach(), next(before, None))
            return copies[key]
        if isinstance(value, dict):
            # a state dict is an ordered one with metadata, and to_plain has made plain ones of all others
            copy = type(value)((key, self._copied(item, copies, before)) for key, item in value.items())
            if hasattr(value, "_metadata"):
                copy._metadata = value._metadata  # type: ignore[attr-defined]
            return copy
        if isinstance(value, (list, tuple)):
            return type(value)(self._copied(item, copies, before) for item in value)
        return value

    def _copy(self, tensor: torch.Tensor, place: torch.Tensor | None) -> torch.Tensor:
        """Into the tensor that was copied at the same turn the last time, where it is of the same kind."""
        if place is None or (place.shape, place.stride(), place.dtype) != (tensor.shape, tensor.stride(), tensor.dtype):
            place = torch.empty_like(tensor, device="cpu")
        self._kept.append(place)
        return place.copy_(tensor)
