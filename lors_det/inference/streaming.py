"""One image or many: what is iterated over is taken batch by batch, and one is answered by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from lors_det.errors import InputError
from lors_det.inference.detections import Detections
from lors_det.inference.images import ImageLike

_Item = TypeVar("_Item")


def call(
    stream: Callable[..., Iterator[Detections]], images: ImageLike | Iterable[ImageLike], batch_size: int
) -> Detections | list[Detections]:
    """What ``stream`` gives for one image, or the list of it for many."""
    many: Any = [images] if _is_one(images) else images
    found = list(stream(many, batch_size=batch_size))
    return found[0] if _is_one(images) else found


def check_many(images: Any) -> None:
    """Refuse one image where many are expected: its rows, or the letters of its name, would be taken for images.

    Raises:
        InputError: if it is one.
    """
    if _is_one(images):
        raise InputError("one image came in place of several; name it in a list, [image]")


def _is_one(images: Any) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim < 4
    return not isinstance(images, Iterable) or isinstance(images, (str, bytes, bytearray, memoryview))


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of ``size`` items, the last of what is left.

    Raises:
        InputError: if the size is no positive number, or the items are one image.
    """
    if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
        raise InputError(f"batch_size is {size!r}; it must be a whole number of at least 1")
    check_many(items)
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch


def with_image(found: Detections, image: ImageLike) -> Detections:
    """The detections, which know what was given in place of the array that was read: a file need not stay in memory."""
    return found if isinstance(image, np.ndarray) else replace(found, image=image)
