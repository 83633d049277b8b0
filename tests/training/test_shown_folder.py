"""Folders whose boxes are of another frame than their images are refused before training; repaired copies are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from references.own_data import PICTURE, coco, lay, picture, pictures, voc

from lors_det.data.doctor import open_case
from lors_det.data.doctor.repaired_copy import write_repaired
from lors_det.data.folder import read_folder
from lors_det.errors import InputError
from lors_det.training.shown_folder import read_shown

NAMES = {"train": "a b c d", "val": "y z"}


def coco_set(root: Path, size: tuple[int, int], image: bytes = PICTURE) -> Path:
    files: dict[str, Any] = {}
    for split, names in NAMES.items():
        content = coco(names)
        for entry in content["images"]:
            entry["width"], entry["height"] = size
        files |= {f"{split}.json": content, **dict.fromkeys(pictures(split, names), image)}
    return lay(root, files)


def voc_set(root: Path, size: tuple[int, int], image: bytes = PICTURE) -> Path:
    files: dict[str, Any] = {}
    for split, names in NAMES.items():
        files |= dict.fromkeys(pictures(split, names), image)
        files |= {f"{split}/{name}.xml": voc(("dog", 5, 3, 15, 11), size=size) for name in names.split()}
    return lay(root, files)


@pytest.mark.parametrize("make", [coco_set, voc_set])
@pytest.mark.parametrize(
    ("size", "orientation", "words"),
    [
        ((40, 20), 6, "annotated as 40 x 20, the loader gives 20 x 40 pixels, for it applies the EXIF orientation 6"),
        ((20, 40), 1, "annotated as 20 x 40, the loader gives 40 x 20 pixels: width and height are swapped"),
        ((80, 40), 1, "annotated as 80 x 40, the loader gives 40 x 20 pixels, 0.5 times as many"),
    ],
)
def test_sizes_that_are_not_the_files_are_refused_until_mended(
    make: Any, size: tuple[int, int], orientation: int, words: str, tmp_path: Path
) -> None:
    root = make(tmp_path / "set", size, picture(orientation=orientation))
    with pytest.raises(InputError, match=rf"6 faults .*{words}.* check-data {root} lists all, and with --fix OUT_DIR"):
        read_shown(root)
    write_repaired(open_case(read_folder(root)), tmp_path / "mended")
    for split in read_shown(tmp_path / "mended").splits.values():
        for image in split.content["images"]:
            assert (image["width"], image["height"]) == ((20, 40) if orientation == 6 else (40, 20))


def test_a_size_of_another_shape_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"annotated as 50 x 45, .*; find out what its boxes were drawn on"):
        read_shown(coco_set(tmp_path, (50, 45)), quiet=True)
    assert capsys.readouterr().out.count("error: ") == 6


@pytest.mark.parametrize("make", [coco_set, voc_set])
@pytest.mark.parametrize(("size", "orientation"), [((40, 20), 1), ((20, 40), 6), ((41, 20), 1)])
def test_sizes_of_the_images_as_they_are_displayed_train(
    make: Any, size: tuple[int, int], orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a pixel; and no image is decoded for it."""
    root = make(tmp_path, size, picture(orientation=orientation))
    monkeypatch.setattr("lors_det.data.doctor.image_facts.pixels_of", lambda *_: pytest.fail("decoded"))
    assert len(read_shown(root).splits["train"].content["images"]) == 4


def test_an_image_that_cannot_be_read_is_refused_before_a_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = coco_set(tmp_path, (40, 20))
    (root / "val/y.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1 fault .*val, y\.jpg: is no image that can be read"):
        read_shown(root, quiet=True)
    assert "error: val, y.jpg: is no image that can be read" in capsys.readouterr().out


def test_an_image_that_opencv_alone_reads_is_no_fault(tmp_path: Path) -> None:
    root = coco_set(tmp_path, (40, 20))
    _, content = cv2.imencode(".hdr", np.ones((20, 40, 3), np.float32))
    (root / "val/y.jpg").write_bytes(content.tobytes())
    assert len(read_shown(root).splits["val"].content["images"]) == 2
