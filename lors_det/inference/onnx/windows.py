"""Swin's windows in a graph for any number of images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmdet.models.backbones.swin import ShiftWindowMSA
from torch import Tensor


@contextmanager
def windows_of_any_batch() -> Iterator[None]:
    """Inside, mmdet's Swin does not count its images through floating point, which a tracer takes for a constant."""
    before = ShiftWindowMSA.window_reverse
    ShiftWindowMSA.window_reverse = _joined
    try:
        yield
    finally:
        ShiftWindowMSA.window_reverse = before


def _joined(self: ShiftWindowMSA, windows: Tensor, height: int, width: int) -> Tensor:
    """Windows, (B x windows) x s x s x C, back in their places: B x height x width x C."""
    side = self.window_size
    rows, columns = height // side, width // side
    windows = windows.reshape(-1, rows, columns, side, side, windows.shape[-1])
    return windows.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, windows.shape[-1])
