"""Bytes that are no image, or claim to be a large one, give none."""

from __future__ import annotations

import io
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from lors_det.data.decoding import pixels_of, why_not_decoded


def tiff(width: int | None = None) -> bytes:
    """A small TIFF, which may claim another width."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), (10, 20, 30)).save(buffer, "TIFF")
    if width is None:
        return buffer.getvalue()
    entry = b"\x00\x01\x04\x00\x01\x00\x00\x00"  # the tag of the width, its type and count
    claimed = entry + width.to_bytes(4, "little")
    content, count = re.subn(re.escape(entry) + b"....", lambda _: claimed, buffer.getvalue(), count=1, flags=re.DOTALL)
    assert count == 1
    return content


def test_an_image():
    pixels = pixels_of(np.frombuffer(tiff(), np.uint8))
    assert pixels.shape == (24, 32, 3)
    assert pixels[0, 0].tolist() == [30, 20, 10]
    assert pixels_of(np.frombuffer(tiff(), np.uint8), cv2.IMREAD_GRAYSCALE).shape == (24, 32)


@pytest.mark.parametrize(
    "content", [b"", b"no image", tiff(2**31 - 1), tiff()[:60]], ids=["empty", "text", "huge", "cut"]
)
def test_none(content):
    assert pixels_of(np.frombuffer(content, np.uint8)) is None


def test_opencv_raises_of_a_size_beyond_its_limit():
    with pytest.raises(cv2.error):
        cv2.imdecode(np.frombuffer(tiff(2**31 - 1), np.uint8), cv2.IMREAD_COLOR)


def test_why(tmp_path):
    whole, cut = tmp_path / "depth.tif", tmp_path / "cut.tif"
    Image.fromarray(np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)).save(whole)
    assert pixels_of(np.fromfile(whole, np.uint8)) is None
    assert why_not_decoded(whole).startswith('it is a TIFF of mode "F", which OpenCV does not read')
    cut.write_bytes(tiff()[:60])
    assert why_not_decoded(cut) == "it may be truncated or no image"


def test_what_is_too_large_or_may_not_be_read_is_no_damaged_file(tmp_path, monkeypatch):
    Image.new("1", (300, 300)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "more pixels than can be read" in why_not_decoded(tmp_path / "large.png")
    (tmp_path / "folder.png").mkdir()
    assert why_not_decoded(tmp_path / "folder.png") == "Is a directory"
    assert why_not_decoded(tmp_path / "none.png") == "No such file or directory"
