"""One file written at a time, while training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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
        job, self._job = self._job, None
        if job is not None:
            job.result()


def snapshot(value: Any) -> Any:
    """The same with each tensor copied to the CPU, tensors of one storage once; what training changes, it keeps."""
    return _snapshot(value, {})


def _snapshot(value: Any, copies: dict[tuple[Any, ...], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        key = (value.device, value.data_ptr(), value.shape, value.stride(), value.dtype)
        if key not in copies or not value.numel():
            copies[key] = value.detach().to("cpu", copy=True)
        return copies[key]
    if isinstance(value, dict):
        # a state dict is an ordered one with metadata, and to_plain has made plain ones of all others
        copy = type(value)((key, _snapshot(item, copies)) for key, item in value.items())
        if hasattr(value, "_metadata"):
            copy._metadata = value._metadata  # type: ignore[attr-defined]
        return copy
    if isinstance(value, (list, tuple)):
        return type(value)(_snapshot(item, copies) for item in value)
    return value
