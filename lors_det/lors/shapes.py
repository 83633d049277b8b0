"""Shapes in messages."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def in_words(shapes: Iterable[torch.Size]) -> str:
    """Shapes as people write them: 2 x 3, 4."""
    return ", ".join(" x ".join(map(str, shape)) or "a number" for shape in shapes)
