"""Sizes from headers are those of the decoded image."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from references.own_data import picture

from lors_det.data.decoding import pixels_of
from lors_det.data.images import _TURNS_WEBP, displayed_size, displayed_sizes, is_image
from lors_det.errors import InputError


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_the_size_is_that_of_the_image_as_opencv_reads_it(form: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(picture(orientation=orientation, form=form))
    height, width = cv2.imread(str(path)).shape[:2]
    assert displayed_size(path) == (width, height)
    assert (width, height) == ((20, 40) if orientation > 4 else (40, 20))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("form", ["TIFF", "WEBP"])
def test_other_forms_are_turned_as_well(form: str, orientation: int, tmp_path: Path) -> None:
    """WebP by OpenCV from 4.13 on: before that, neither the loader turns it nor do we."""
    (tmp_path / "a.tif").write_bytes(picture(orientation=orientation, form=form))
    height, width = pixels_of(np.fromfile(tmp_path / "a.tif", np.uint8)).shape[:2]
    assert displayed_size(tmp_path / "a.tif") == (width, height)
    turns = form == "TIFF" or _TURNS_WEBP
    assert (width, height) == ((20, 40) if orientation == 6 and turns else (40, 20))


def test_only_the_header_is_read(tmp_path: Path) -> None:
    Image.effect_noise((900, 700), 80).save(tmp_path / "whole.jpg")
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:2000])
    assert displayed_size(tmp_path / "torn.jpg") == (900, 700)


def test_errors_take_the_place_of_sizes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(form="PNG"))
    (tmp_path / "text.jpg").write_text("no image")
    sizes = displayed_sizes([tmp_path / "text.jpg", tmp_path / "a.png", tmp_path / "nowhere.jpg"])
    assert sizes[1] == (40, 20)
    assert [type(size) for size in sizes] == [InputError, tuple, InputError]
    with pytest.raises(InputError, match=r"text.jpg is no image"):
        displayed_size(tmp_path / "text.jpg")
    with pytest.raises(InputError, match=r"nowhere.jpg cannot be read \(No such file"):
        displayed_size(tmp_path / "nowhere.jpg")


def test_suffixes() -> None:
    assert [name for name in ("a.JPG", "b.jpeg", "c.tiff", "d.txt", "jpg", "e.jpg.xml") if is_image(name)] == [
        "a.JPG",
        "b.jpeg",
        "c.tiff",
    ]
