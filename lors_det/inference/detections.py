"""What was found in an image, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lors_det.data.drawn_boxes import draw_boxes
from lors_det.data.words import listed
from lors_det.errors import InputError
from lors_det.inference.images import ImageLike, as_rgb, write_image


class Detection(NamedTuple):
    """One object: xyxy in pixels of the image, 0..1, index of the class, its name."""

    box: NDArray[np.float32]
    score: float
    label: int
    name: str


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """The objects of one image, best first.

    ``len`` counts them; iterating gives each as a :class:`Detection`; a mask (n,), a slice or indices select some.
    """

    boxes: NDArray[np.float32]
    """(n, 4), xyxy in pixels of the image as it is displayed; they may leave the image, see :meth:`clip`, and
    ``clip_boxes`` of a model's ``test_cfg``."""
    scores: NDArray[np.float32]
    """(n,), 0..1."""
    labels: NDArray[np.int64]
    """(n,), places in ``classes``."""
    classes: tuple[str, ...]
    """Of the model, in its order."""
    image_size: tuple[int, int]
    """Width and height in pixels."""
    image: ImageLike | None = field(default=None)
    """What was given to the detector; a file is read again when it is drawn. An array is kept as it is, RGB, and not
    copied, so that it stays in memory; ``dataclasses.replace(found, image=None)`` lets it go."""

    @property
    def names(self) -> list[str]:
        """The class of each object."""
        return [self.classes[label] for label in self.labels]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for box, score, label, name in zip(self.boxes, self.scores, self.labels, self.names):
            yield Detection(box, float(score), int(label), name)

    def __getitem__(self, key: int | slice | Sequence[int] | NDArray[Any]) -> Detections:
        index = key if isinstance(key, (int, slice)) else np.asarray(key)
        if isinstance(index, np.ndarray) and not index.size:
            index = index.astype(np.intp)  # NumPy takes those of an empty list for fractions
        chosen = np.arange(len(self))[index].reshape(-1)  # a single one keeps its dimension
        return replace(self, boxes=self.boxes[chosen], scores=self.scores[chosen], labels=self.labels[chosen])

    def __repr__(self) -> str:
        shown = ", ".join(f"{found.name} {found.score:.2f}" for found in self[:5])
        width, height = self.image_size
        return f"Detections({len(self)} in {width} x {height} pixels: {shown}{', ...' if len(self) > 5 else ''})"

    def select(self, *, score_threshold: float = 0.0, classes: Collection[str] | None = None) -> Detections:
        """Those that score at least the threshold, of the named classes; None: of all.

        Raises:
            InputError: if there is no such class.
        """
        kept = self.scores >= score_threshold
        if classes is not None:
            kept &= np.isin(self.labels, [self.classes.index(name) for name in known_classes(classes, self.classes)])
        return self[kept]

    def clip(self) -> Detections:
        """Those that reach into the image, of each box what is inside."""
        width, height = self.image_size
        boxes = self.boxes.clip(0, np.array((width, height, width, height), np.float32))
        inside: NDArray[np.bool_] = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
        return replace(self, boxes=boxes)[inside]

    def draw(self, image: ImageLike | None = None) -> NDArray[np.uint8]:
        """The image with the boxes, their classes and scores, (H, W, 3), RGB.

        Args:
            image: to draw on, of ``image_size``; by default the one that was given to the detector.

        Raises:
            InputError: if there is no image to draw on, or it has another size.
        """
        image = self.image if image is None else image
        if image is None:
            raise InputError("these detections do not know their image; pass it: draw(image)")
        pixels = as_rgb(image)
        if pixels.shape[1::-1] != self.image_size:
            width, height = self.image_size
            raise InputError(
                f"the image to draw on is {pixels.shape[1]} x {pixels.shape[0]} pixels, and the detections are of one "
                f"of {width} x {height}"
            )
        texts = [f"{found.name} {found.score:.2f}" for found in self]
        return draw_boxes(pixels, self.boxes, labels=self.labels, texts=texts)

    def save(self, path: str | Path, image: ImageLike | None = None) -> None:
        """Write :meth:`draw`'s picture in the format that the file's suffix names.

        Raises:
            InputError: as :meth:`draw`, or if the suffix is no image's or the folder does not exist.
        """
        write_image(Path(path), self.draw(image))

    def to_coco(self, image_id: int | str, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Entries of a COCO results file: image_id, category_id, bbox (x, y, width, height) and score.

        Args:
            image_id: the image's, in the annotation file.
            category_ids: of each class; 1, 2, ... by default.
        """
        ids = range(1, len(self.classes) + 1) if category_ids is None else category_ids
        return [
            {"image_id": image_id, "category_id": ids[label], "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
            for (x1, y1, x2, y2), score, label in zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist())
        ]

    def to_supervision(self) -> Any:
        """``supervision.Detections`` with the same boxes, scores and labels, and the names as data.

        Raises:
            InputError: if supervision is not installed.
        """
        try:
            supervision = import_module("supervision")
        except ImportError as error:
            raise InputError('to_supervision needs supervision: pip install "lors_det[supervision]"') from error
        return supervision.Detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.labels.astype(int),
            data={"class_name": np.array(self.names, dtype=str)},
        )


def known_classes(wanted: Iterable[str], classes: Sequence[str]) -> list[str]:
    """The wanted classes, all of which the model must have.

    Raises:
        InputError: it names the first that the model lacks, and the nearest that it has.
    """
    if isinstance(wanted, str):
        raise InputError(f"classes must be a list of names, such as [{wanted!r}]; a single text came")
    wanted = list(wanted)
    others = [name for name in wanted if not isinstance(name, str)]
    if others:
        raise InputError(f"classes must be names, and {others[0]!r} is none; the model has {listed(classes)}")
    for name in wanted:
        if name not in classes:
            near = get_close_matches(name, classes, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {listed(classes)}"
            raise InputError(f"the model has no class {name!r}; {hint}")
    return wanted
