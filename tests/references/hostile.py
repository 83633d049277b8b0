"""What a stranger's checkpoint may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Hostile:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")
