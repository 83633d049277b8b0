"""A sheet of images with the boxes of their annotations: whether labels lie where they should is seen, not computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from lors_det.data.record import Split
from lors_det.files import write_whole

NUM_IMAGES, NUM_COLUMNS = 12, 4
CELL_PX = 480
"""Longer side of an image on the sheet; smaller ones are enlarged to it, as their boxes' texts are not."""
MOST_NAMED = 25
"""Boxes of an image whose classes are written beside them; of more, colours tell, and a legend of them."""
MOST_IN_LEGEND = 20


class Labelled(NamedTuple):
    """An image and its boxes.

    Attributes:
        title: what is written above it.
        image: (H, W, 3), RGB, uint8.
        boxes: (n, 4), x1, y1, x2, y2 in pixels.
        labels: of the boxes, numbers of classes.
        names: of these classes.
    """

    title: str
    image: NDArray[np.uint8]
    boxes: NDArray[Any]
    labels: Sequence[int]
    names: Sequence[str]


def label_sheet(samples: Sequence[Labelled], path: Path, title: str) -> None:
    """Write a PNG file of all the images, with each box in the colour of its class."""
    num_columns = min(NUM_COLUMNS, len(samples))
    num_rows = -(-len(samples) // num_columns)
    figure = Figure(figsize=(4 * num_columns, 3.4 * num_rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=11, parse_math=False)
    cells = figure.subplots(num_rows, num_columns, squeeze=False).flatten()
    for cell in cells:
        cell.axis("off")
    unnamed: dict[int, str] = {}
    for cell, sample in zip(cells, samples):
        if len(sample.boxes) > MOST_NAMED:
            unnamed |= zip(sample.labels, sample.names)
        scale = CELL_PX / max(sample.image.shape[:2])
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        height, width = (max(1, round(side * scale)) for side in sample.image.shape[:2])
        cell.imshow(cv2.resize(sample.image, (width, height), interpolation=way))
        cell.set_title(sample.title, fontsize=7, parse_math=False)
        for (left, top, right, bottom), label, name in zip(sample.boxes * scale, sample.labels, sample.names):
            colour = _colour_of(label)
            cell.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour))
            if len(sample.boxes) <= MOST_NAMED:
                back = dict(facecolor=colour, edgecolor="none", pad=0.5)
                cell.text(
                    left, top, name, fontsize=5, color="white", bbox=back, va="bottom", clip_on=True, parse_math=False
                )
    if unnamed:
        _add_legend(figure, dict(sorted(unnamed.items())))
    write_whole(path, lambda file: figure.savefig(file, format="png", dpi=150))


def _colour_of(label: int) -> tuple[float, float, float, float]:
    return colormaps["tab10"](label % 10)


def _add_legend(figure: Figure, names: Mapping[int, str]) -> None:
    """Colours of classes, by label, as far as there is room; ten of them are told apart."""
    shown = dict(islice(names.items(), MOST_IN_LEGEND))
    more = f", and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    legend = figure.legend(
        handles=[Rectangle((0, 0), 1, 1, facecolor=_colour_of(label)) for label in shown],
        labels=[" "] * len(shown),
        title=f"Classes in images of more than {MOST_NAMED} boxes{more}",
        loc="outside lower center",
        ncols=min(len(shown), 10),
        fontsize=7,
        title_fontsize=7,
    )
    for text, name in zip(legend.get_texts(), shown.values()):  # which may begin with _ or hold a $
        text.set_parse_math(False)
        text.set_text(name)


def of_split(split: Split, number: int = NUM_IMAGES) -> Iterator[Labelled]:
    """Images spread evenly over those of a split that have boxes, as they lie; what cannot be read is passed over."""
    boxes: dict[Any, list[dict[str, Any]]] = {}
    for each in split.content["annotations"]:
        boxes.setdefault(each["image_id"], []).append(each)
    places = {each["id"]: place for place, each in enumerate(split.content["categories"])}
    names = [each["name"] for each in split.content["categories"]]
    images = [each for each in split.content["images"] if each["id"] in boxes]
    for place in _spread(len(images), number):
        path = split.image_root / images[place]["file_name"]
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            continue
        own = boxes[images[place]["id"]]
        labels = [places[each["category_id"]] for each in own]
        corners = np.array([each["bbox"] for each in own], float).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        yield Labelled(images[place]["file_name"], _rgb(image), corners, labels, [names[label] for label in labels])


def of_training(dataset: Any, number: int = NUM_IMAGES) -> Iterator[Labelled]:
    """Images spread evenly over a training set of mmdet's, as its pipeline gives them: what is learned from."""
    classes = dataset.metainfo["classes"]
    for place in _spread(len(dataset), number):
        sample = dataset[place]
        found = sample["data_samples"].gt_instances
        labels = found.labels.tolist()
        boxes = getattr(found.bboxes, "tensor", found.bboxes).numpy()
        image = sample["inputs"].permute(1, 2, 0).numpy()
        title = Path(sample["data_samples"].img_path).name
        yield Labelled(title, _rgb(image), boxes, labels, [classes[label] for label in labels])


def _spread(count: int, number: int) -> list[int]:
    """Places of ``number`` of ``count``, evenly apart."""
    return np.linspace(0, count - 1, min(count, number)).round().astype(int).tolist()


def _rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    # some transforms leave numbers beyond those of pixels
    return np.ascontiguousarray(image[..., ::-1].clip(0, 255), dtype=np.uint8)
