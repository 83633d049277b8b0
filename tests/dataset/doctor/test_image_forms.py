"""Every form of image comes through the data set with pixels and boxes that agree, or is found out by name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from lors_det.data.doctor import examine, open_case
from lors_det.data.doctor.image_facts import read_image_facts
from lors_det.data.doctor.sizes import turn
from lors_det.data.images import _TURNS_WEBP
from lors_det.data.record import DataFolder, Split
from lors_det.errors import InputError
from lors_det.plugin.dataset import CocoDetection

old_opencv = pytest.mark.skipif(not _TURNS_WEBP, reason="before 4.13, OpenCV does not turn WebP")

SIZE = (80, 50)
BOX = (9, 5, 20, 12)
"""Of the bright part, in pixels of the image as it is displayed."""


def scene() -> np.ndarray:
    """RGB, dark with one bright box; it is near a corner, so that it shows if the image is turned the wrong way."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
    x, y, w, h = BOX
    pixels[y : y + h, x : x + w] = (230, 220, 210)
    return pixels


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def encoded(pixels: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


def as_stored(orientation: int) -> Image.Image:
    """What a camera stores, so that the scene is displayed once the orientation is applied."""
    inverse = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    image = Image.fromarray(scene())
    return image if inverse is None else image.transpose(Image.Transpose(inverse))


def turned(orientation: int, form: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    quality = {"quality": 95} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    return saved(as_stored(orientation), form, exif=exif, **quality)


def transparent() -> Image.Image:
    image = Image.fromarray(scene()).convert("RGBA")
    image.putalpha(Image.fromarray(np.where(scene()[..., 0] > 100, 255, 128).astype(np.uint8)))
    return image


FORMS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "colour": ("", lambda: encoded(scene()[..., ::-1], ".jpg")),
    "grey": ("grey-image", lambda: saved(Image.fromarray(scene()).convert("L"), "JPEG")),
    "grey png": ("grey-image", lambda: saved(Image.fromarray(scene()).convert("L"), "PNG")),
    "one bit": ("grey-image", lambda: saved(Image.fromarray(scene()).convert("1", dither=Image.Dither.NONE), "PNG")),
    "cmyk": ("cmyk-image", lambda: saved(Image.fromarray(scene()).convert("CMYK"), "JPEG", quality=95)),
    "cmyk tiff": ("cmyk-image", lambda: saved(Image.fromarray(scene()).convert("CMYK"), "TIFF")),
    "palette": ("palette-image", lambda: saved(Image.fromarray(scene()).quantize(16), "PNG")),
    "gif": ("palette-image", lambda: saved(Image.fromarray(scene()).quantize(16), "GIF")),
    "alpha": ("alpha-image", lambda: saved(transparent(), "PNG")),
    "grey alpha": ("alpha-image", lambda: saved(transparent().convert("LA"), "PNG")),
    "16 bit": ("16-bit", lambda: encoded(scene()[..., ::-1].astype(np.uint16) * 257, ".png")),
    "16 bit grey": ("16-bit grey-image", lambda: encoded(scene()[..., 0].astype(np.uint16) * 257, ".png")),
    "16 bit tiff": ("16-bit", lambda: encoded(scene()[..., ::-1].astype(np.uint16) * 257, ".tiff")),
    "webp": ("", lambda: saved(Image.fromarray(scene()), "WEBP")),
    "bmp": ("", lambda: saved(Image.fromarray(scene()), "BMP")),
    **{f"exif {number}": ("", lambda number=number: turned(number)) for number in range(2, 9)},  # type: ignore[misc]
    "exif 6 png": ("", lambda: turned(6, "PNG")),
    "exif 6 webp": ("", lambda: turned(6, "WEBP")),
    "exif 6 tiff": ("", lambda: turned(6, "TIFF")),
}


def lay(tmp_path: Path, content: bytes, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    (tmp_path / "image").write_bytes(content)  # whatever the name, the loader goes by the content
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": list(BOX), "area": BOX[2] * BOX[3], "iscrowd": 0}
    record = {
        "images": [{"id": 1, "file_name": "image", "width": size[0], "height": size[1]}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "set.json").write_text(json.dumps(record))
    return record


def loaded(tmp_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (H, W, 3) and box (4,), corners, as a model gets them."""
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="Resize", scale=(160, 100), keep_ratio=True),
        dict(type="PackDetInputs"),
    ]
    files = dict(data_root=str(tmp_path), ann_file="set.json", data_prefix=dict(img=""))
    sample = CocoDetection(pipeline=pipeline, **files)[0]
    instances = sample["data_samples"].gt_instances
    return sample["inputs"].permute(1, 2, 0).numpy(), instances.bboxes.numpy()[0]


def kinds(tmp_path: Path, record: dict[str, Any]) -> dict[str, str]:
    folder = DataFolder(tmp_path, "COCO", ("thing",), {"val": Split("val", tmp_path, record, "set.json")})
    return {finding.kind: finding.level for finding in examine(open_case(folder)) if finding.kind != "few-val-images"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=old_opencv) if name == "exif 6 webp" else name for name in FORMS]
)
def test_pixels_and_boxes_agree(tmp_path, name):
    kind, content = FORMS[name]
    record = lay(tmp_path, content())
    pixels, box = loaded(tmp_path)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (100, 160, 3)
    rows, columns = np.nonzero(pixels.min(-1) > 130)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(seen, box, atol=2)
    found = kinds(tmp_path, record)
    assert set(kind.split()) <= set(found)
    # orientations that leave the size as it is cannot be judged by it
    unclear = {"exif-unclear"} if name in ("exif 2", "exif 3", "exif 4") else set()
    assert set(found) <= {*kind.split(), "few-val-boxes", *unclear}
    assert "error" not in found.values()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("bits", [10, 12])
def test_few_bits_in_sixteen_are_an_error_since_they_go_black(tmp_path, bits, suffix):
    values = scene()[..., ::-1].astype(np.uint16) * (1 << (bits - 8))
    record = lay(tmp_path, encoded(values, suffix))
    assert kinds(tmp_path, record)["black-16-bit"] == "error"
    path = tmp_path / record["images"][0]["file_name"]
    assert cv2.imread(str(path), cv2.IMREAD_COLOR).max() < 16
    with pytest.raises(InputError, match=rf"{path.name} has 16-bit values .* black"):  # nor is it trained on
        loaded(tmp_path)


def test_numbers_with_a_point_are_refused_by_name(tmp_path):
    record = lay(tmp_path, encoded(scene().astype(np.float32) / 255, ".tiff"))
    if cv2.imread(str(tmp_path / "image")) is not None:
        pytest.skip("this OpenCV scales such images to bytes")
    assert kinds(tmp_path, record)["undecodable-image"] == "error"
    with pytest.raises(InputError, match=r"image .*image cannot be decoded"):
        loaded(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".bmp", ".webp"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.98])
def test_a_file_that_is_cut_off_is_refused_by_name(tmp_path, suffix, kept):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    content = encoded(noise, suffix)
    record = lay(tmp_path, content[: int(len(content) * kept)])
    found = kinds(tmp_path, record)
    assert found.get("truncated-image", found.get("undecodable-image")) == "error"
    with pytest.raises(InputError, match=r"image .*image cannot be decoded"):
        loaded(tmp_path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_turned_with_their_image(orientation):
    """The bright part of what is stored, turned, is where it is displayed."""
    stored = np.array(as_stored(orientation))
    rows, columns = np.nonzero(stored.min(-1) > 130)
    box = np.array([[columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]], float)
    np.testing.assert_array_equal(turn(box, (stored.shape[1], stored.shape[0]), orientation), [BOX])


@pytest.mark.parametrize("form", ["JPEG", "PNG", pytest.param("WEBP", marks=old_opencv), "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_is_that_which_the_loader_gives(tmp_path, orientation, form):
    (tmp_path / "image").write_bytes(turned(orientation, form))
    assert read_image_facts(str(tmp_path / "image")).size == SIZE
