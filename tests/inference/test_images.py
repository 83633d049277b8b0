"""Images of Pillow are what the same pixels are in a file; what is no image is refused with a remedy."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lors_det.errors import InputError
from lors_det.inference.images import as_rgb, write_image
from lors_det.inference.streaming import call

RAMP = np.linspace(0, 65535, 64 * 4).astype(np.uint16).reshape(4, 64)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_as_in_a_file(tmp_path, suffix):
    image = Image.fromarray(RAMP)
    assert image.mode.startswith("I;16")
    path = tmp_path / f"ramp.{suffix}"
    image.save(path)
    assert np.array_equal(as_rgb(image), as_rgb(path))
    assert np.array_equal(as_rgb(image)[..., 0], RAMP // 256)


def test_the_other_byte_order_is_the_same_image():
    big = Image.frombytes("I;16B", (64, 4), RAMP.astype(">u2").tobytes())
    assert np.array_equal(as_rgb(big), as_rgb(Image.fromarray(RAMP)))


def test_an_image_without_pixels_is_refused():
    with pytest.raises(InputError, match=r"array of shape \(0, 0, 3\)"):
        as_rgb(Image.new("RGB", (0, 0)))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_a_range_are_refused_by_name(mode):
    with pytest.raises(InputError, match=f'mode "{mode}".*scale them to 0..255'):
        as_rgb(Image.new(mode, (4, 4)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr"])
def test_other_modes_are_converted(mode):
    """Each holds the colour that it can."""
    colour = (255, 255, 255) if mode == "1" else (90, 90, 90) if mode in ("L", "LA") else (204, 51, 0)
    found = as_rgb(Image.new("RGB", (5, 4), colour).convert(mode))
    assert found.shape == (4, 5, 3)
    np.testing.assert_allclose(found, np.broadcast_to(colour, found.shape), atol=2)


def test_an_opened_file_whose_end_is_missing_is_refused(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(RAMP).save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="cannot be read as RGB"):
        as_rgb(Image.open(path))


@pytest.mark.parametrize("content", [b"\xff\xd8", bytearray(b"\xff"), memoryview(b"\xff")])
def test_encoded_bytes_are_one_image_that_is_no_array(content):
    with pytest.raises(InputError, match="open it first"):
        call(lambda images, batch_size: map(as_rgb, images), content, 1)


@pytest.mark.parametrize("address", ["https://example.org/a.jpg", "s3://bucket/a.jpg"])
def test_addresses_are_not_fetched(address):
    with pytest.raises(InputError, match=f"{address} is an address.*download it"):
        as_rgb(address)


def test_an_image_that_its_format_cannot_hold(tmp_path):
    with pytest.raises(InputError, match=r"long\.webp: the format cannot hold an image of 16400 x 2 pixels"):
        write_image(tmp_path / "long.webp", np.zeros((2, 16400, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
