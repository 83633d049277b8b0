"""Images in every form that cameras and tools write: one set of them trains, and each is seen as the plain one is."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from references.tiny import LORS, make_data

import lors_det
from lors_det.errors import InputError
from lors_det.inference.images import read_image

TURNED_LEFT = 6
"""EXIF orientation of a camera held upright: the file's rows are the picture's columns."""


def sixteen_bits(image: Image.Image, path: Path) -> Path:
    cv2.imwrite(str(path.with_suffix(".png")), np.asarray(image)[..., ::-1].astype(np.uint16) * 257)
    return path.with_suffix(".png")


def palette(image: Image.Image, path: Path) -> Path:
    image.quantize(256).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def transparent(image: Image.Image, path: Path) -> Path:
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def turned(image: Image.Image, path: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = TURNED_LEFT
    image.transpose(Image.Transpose.ROTATE_90).save(path.with_suffix(".png"), exif=exif)
    return path.with_suffix(".png")


def saved(mode: str, suffix: str, **options: object):
    def save(image: Image.Image, path: Path) -> Path:
        image.convert(mode).save(path.with_suffix(suffix), **options)
        return path.with_suffix(suffix)

    return save


LOSSLESS = {
    "16 bits": sixteen_bits,
    "alpha": transparent,
    "EXIF": turned,
    "TIFF": saved("RGB", ".tiff"),
    "BMP": saved("RGB", ".bmp"),
    "WebP": saved("RGB", ".webp", lossless=True),
}
OTHER = {
    "grey": saved("L", ".png"),
    "grey JPEG": saved("L", ".jpg"),
    "CMYK": saved("CMYK", ".jpg", quality=95),
    "palette": palette,
    "progressive": saved("RGB", ".jpg", progressive=True),
    "two levels": saved("1", ".png"),
}


@pytest.fixture(scope="module")
def forms(tmp_path_factory) -> tuple[Path, dict[str, Path]]:
    """A set whose training images have one form each, and their files; the rest is left out."""
    folder = make_data(tmp_path_factory.mktemp("forms") / "set")
    file = folder / "annotations/train.json"
    content = json.loads(file.read_text())
    content["images"] = content["images"][: len(LOSSLESS) + len(OTHER)]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [box for box in content["annotations"] if box["image_id"] in kept]
    files = {}
    for image, (name, save) in zip(content["images"], {**LOSSLESS, **OTHER}.items(), strict=True):
        plain = folder / "train" / image["file_name"]
        picture = Image.open(plain).convert("RGB")
        kept_aside = folder.parent / "plain" / plain.name
        kept_aside.parent.mkdir(exist_ok=True)
        plain.rename(kept_aside)
        files[name] = save(picture, plain.with_suffix(""))
        image["file_name"] = files[name].name
    file.write_text(json.dumps(content))
    return folder, files


@pytest.fixture(scope="module")
def detector(forms, tmp_path_factory) -> lors_det.Detector:
    """Trained on one image of each form."""
    options = {"model.bbox_head.num_queries": 8, "train_cfg.val_interval": 1, "train_dataloader.num_workers": 0}
    options |= {f"{split}_dataloader.num_workers": 0 for split in ("val", "test")}
    work_dir = tmp_path_factory.mktemp("run")
    result = lors_det.train(LORS, forms[0], work_dir=work_dir, epochs=1, batch_size=4, options=options)
    assert result.checkpoint is not None
    return lors_det.Detector.from_checkpoint(result.checkpoint, score_threshold=0.0)


@pytest.mark.parametrize("form", LOSSLESS)
def test_a_form_without_loss_is_seen_as_the_plain_image(forms, detector, form):
    file = forms[1][form]
    plain = next((forms[0].parent / "plain").glob(f"{file.stem}.*"))
    ours, theirs = detector(file), detector(plain)
    assert len(ours) > 0
    assert np.array_equal(ours.boxes, theirs.boxes)
    assert np.array_equal(ours.scores, theirs.scores)


@pytest.mark.parametrize("form", OTHER)
def test_other_forms_are_nearly_the_plain_image(forms, detector, form):
    """In the grey values that the detector reads; an inverted one would be far off."""
    file = forms[1][form]
    assert len(detector(file)) > 0
    plain = read_image(next((forms[0].parent / "plain").glob(f"{file.stem}.*")))
    seen, expected = (image.astype(float).mean(-1) for image in (read_image(file), plain))
    assert seen.shape == expected.shape
    if form == "two levels":
        assert set(np.unique(seen)) <= {0, 255}
        assert np.corrcoef(cv2.blur(seen, (9, 9)).ravel(), cv2.blur(expected, (9, 9)).ravel())[0, 1] > 0.9
    else:
        assert np.abs(seen - expected).mean() < 15


def test_sixteen_bits_of_which_only_the_lower_are_used_are_refused_by_name(forms, tmp_path):
    folder = make_data(tmp_path / "dark")
    file = folder / "annotations/train.json"
    content = json.loads(file.read_text())
    for image in content["images"]:
        path = folder / "train" / image["file_name"]
        image["file_name"] = f"{path.stem}.png"
        grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16)
        path.unlink()
        cv2.imwrite(str(path.with_suffix(".png")), grey)  # up to 255 of 65535
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"16-bit values up to \d+ of 65535"):
        lors_det.train(LORS, folder, work_dir=tmp_path / "run", epochs=1, batch_size=4)
