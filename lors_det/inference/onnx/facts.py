"""What a file says of itself beside its graph: how images come to its input, and what its labels mean."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

KEY = "lors_det"
"""Of the metadata of an ONNX file, whose value is JSON."""


@dataclass(frozen=True)
class Facts:
    """Of an exported model.

    Attributes:
        classes: names, in the order of the labels.
        fit: width and height that an image is scaled to fit into, its sides in proportion; not larger than the input.
        version: of lors_det, which wrote the file.
    """

    classes: tuple[str, ...]
    fit: tuple[int, int]
    version: str

    def to_json(self) -> str:
        """As it stands in the file."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Facts:
        """What :meth:`to_json` gave.

        Raises:
            ValueError: if it is something else.
        """
        content: Any = json.loads(text)
        try:
            classes, (width, height), version = content["classes"], content["fit"], content["version"]
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError("classes, fit or version is missing") from error
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise ValueError("classes is no list of names")
        if not all(isinstance(side, int) and side > 0 for side in (width, height)):
            raise ValueError("fit is not two sides in pixels")
        return cls(tuple(classes), (width, height), str(version))
