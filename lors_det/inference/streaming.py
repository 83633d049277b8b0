"""One image or many: what is iterated over is taken batch by batch, and one is answered by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import numpy as np

from lors_det.errors import InputError
from lors_det.inference.detections import Detections
from lors_det.inference.images import ImageLike

_Item = TypeVar("_Item")


def call(
    stream: Callable[..., Iterator[Detections]], images: ImageLike | Iterable[ImageLike], batch_size: int
) -> Detections | list[Detections]:
    """What ``stream`` gives for one image, or the list of it for many."""
    if isinstance(images, Iterable) and not isinstance(images, (str, bytes, bytearray, memoryview, np.ndarray)):
        return list(stream(images, batch_size=batch_size))
    return next(stream([images], batch_size=1))


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of ``size`` items, the last of what is left.

    Raises:
        InputError: if the size is no positive number.
    """
    if size < 1:
        raise InputError(f"batch_size is {size}; it must be at least 1")
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch


def with_image(found: Detections, image: ImageLike) -> Detections:
    """The detections, which know what was given in place of the array that was read: a file need not stay in memory."""
    return found if isinstance(image, np.ndarray) else replace(found, image=image)
