"""Sizes from headers are those of the decoded image."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo
from references.own_data import picture

from lors_det.data.decoding import pixels_of
from lors_det.data.images import _TURNS_WEBP, displayed_size, displayed_sizes, is_image, read_header
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


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def before_its_end(more: bytes) -> bytes:
    """A PNG file of 40 x 20 pixels with chunks behind these."""
    file = io.BytesIO()
    Image.new("RGB", (40, 20)).save(file, "PNG")
    plain = file.getvalue()
    end = plain.index(b"IEND") - 4
    return plain[:end] + more + plain[end:]


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_png_is_turned_by_data_behind_its_pixels(is_whole: bool, orientation: int, tmp_path: Path) -> None:
    """And not by bytes that only begin like them."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    late, path = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")), tmp_path / "a.png"
    path.write_bytes(before_its_end(late if is_whole else chunk(b"tEXt", b"a\0" + late[:-1] + b"?")))
    height, width = cv2.imread(str(path)).shape[:2]
    assert read_header(path) == ((width, height), orientation if is_whole else 1)
    assert (width > height) == (orientation == 1 or not is_whole)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_other_words_of_an_orientation_are_passed_over_as_opencv_does(form: str, tmp_path: Path) -> None:
    """XMP, which Pillow believes, and malformed EXIF data."""
    tag = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    image, path = Image.new("RGB", (40, 20)), tmp_path / "a"
    more = PngInfo()
    more.add_itxt("XML:com.adobe.xmp", tag.decode())
    for options in ({"xmp": tag} if form == "JPEG" else {"pnginfo": more}, {"exif": b"Exif\0\0no EXIF data at all"}):
        image.save(path, form, **options)
        height, width = cv2.imread(str(path)).shape[:2]
        assert read_header(path) == ((width, height), 1)


def test_pngs_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(picture(form="PNG"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    assert displayed_size(tmp_path / "a.png") == (40, 20)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("form", "mode"), [("PNG", "1"), ("JPEG", "L"), ("TIFF", "1")])
def test_large_images_have_a_size(form: str, mode: str, tmp_path: Path) -> None:
    """Pillow opens fewer pixels than OpenCV decodes, and warns of fewer still."""
    limit = Image.MAX_IMAGE_PIXELS
    for number, size in enumerate([(12000, 9000), (14000, 13000)]):
        Image.new(mode, size).save(path := tmp_path / f"{number}.{form}", form)
        assert displayed_sizes([path, path]) == [size, size]
    assert limit == Image.MAX_IMAGE_PIXELS


def test_images_that_are_too_large_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32769, 32768, 8, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    with pytest.raises(InputError, match=r"a.png has 32769 x 32768 pixels, .* at most 1073741824; cut it into tiles"):
        displayed_size(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    (tmp_path / "a.webp").write_bytes(picture(form="WEBP"))
    with pytest.raises(
        InputError, match=r"a.webp is too large an image to be read \(.*800 pixels.*; cut it into tiles"
    ):
        displayed_size(tmp_path / "a.webp")


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
