"""The same picture in two splits: found whatever was done to its file, and never where pictures differ."""

from __future__ import annotations

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

from lors_det.data.doctor import examine
from lors_det.data.doctor.leaks import MAX_DISTANCE, MIN_CORRELATION, difference_bits, near_pairs
from lors_det.data.record import Finding


def lively(rng: np.random.Generator, count: int) -> np.ndarray:
    coarse = rng.integers(0, 256, (count, 6, 6), np.uint8)
    return np.stack([cv2.resize(each, (32, 32), interpolation=cv2.INTER_CUBIC) for each in coarse]).reshape(count, -1)


@pytest.mark.parametrize("seed", range(5))
def test_bands_find_what_comparing_all_finds(seed):
    rng = np.random.default_rng(seed)
    thumbnails = lively(rng, 200)
    noise = rng.normal(0, rng.uniform(2, 25, (200, 1)), thumbnails.shape)
    thumbnails = np.concatenate([thumbnails, np.clip(thumbnails + noise, 0, 255).astype(np.uint8)])
    bits = difference_bits(thumbnails)
    near = (bits[:, None] != bits[None]).sum(-1) <= MAX_DISTANCE
    alike = np.corrcoef(thumbnails.astype(float)) >= MIN_CORRELATION
    wanted = np.argwhere(np.triu(near & alike, 1))
    assert 20 < len(wanted) < 200
    splits = np.arange(400) // 200
    np.testing.assert_array_equal(near_pairs(thumbnails, splits), wanted)


def test_a_film_gives_a_pair_for_each_frame_and_split():
    rng = np.random.default_rng(0)
    frames = np.clip(lively(rng, 1).repeat(300, 0) + rng.normal(0, 2, (300, 1024)), 0, 255).astype(np.uint8)
    pairs = near_pairs(frames, (np.arange(300) >= 200).astype(int))
    within = [(0, number) for number in range(1, 200)] + [(200, number) for number in range(201, 300)]
    assert {*map(tuple, pairs.tolist())} == {*within, *((0, number) for number in range(200, 300))}


def test_flat_pictures_are_not_pairs():
    flat = np.repeat(np.arange(0, 250, 10, np.uint8)[:, None], 1024, axis=1)
    assert near_pairs(flat, np.zeros(25, int)).shape == (0, 2)
    assert near_pairs(flat[:0], np.zeros(0, int)).shape == (0, 2)


def leaks(small):
    return [found.kind for found in examine(small.case(with_images=True))]


def change(small, how) -> None:
    pixels = cv2.imread(str(small.root / "train3.jpg"))
    target = small.root / "val5.jpg"
    if how == "copy":
        shutil.copy(small.root / "train3.jpg", target)
        return
    quality = [cv2.IMWRITE_JPEG_QUALITY, 60]
    if how == "brighter":
        pixels = cv2.convertScaleAbs(pixels, alpha=0.85, beta=30)
    if how == "smaller":
        pixels = cv2.resize(pixels, (48, 32), interpolation=cv2.INTER_AREA)
        small.records["val"]["images"][5] |= {"width": 48, "height": 32}
        for annotation in small.records["val"]["annotations"][10:12]:
            annotation["bbox"] = [value / 2 for value in annotation["bbox"]]
    cv2.imwrite(str(target), pixels, quality)


@pytest.mark.parametrize("how", ["copy", "saved anew", "brighter", "smaller"])
def test_a_picture_in_two_splits_is_found(small, how):
    change(small, how)
    kind = "identical-image-in-two-splits" if how == "copy" else "near-identical-image-in-two-splits"
    assert leaks(small) == [kind]


def test_within_a_split_it_is_a_note(small):
    shutil.copy(small.root / "train3.jpg", small.root / "train9.jpg")
    (finding,) = examine(small.case(with_images=True))
    assert (finding.kind, finding.level) == ("identical-image-twice", "note")


def test_a_file_in_two_splits_is_found_without_opening_it(small):
    small.records["val"]["images"][2]["file_name"] = "train3.jpg"
    (finding,) = examine(small.case())
    assert (finding.kind, finding.level) == ("same-file-in-two-splits", "warning")


def test_a_split_of_another_ones_images_is_one_finding(small):
    for number, image in enumerate(small.records["val"]["images"]):
        image["file_name"] = f"train{number}.jpg"
    found = [finding for finding in examine(small.case(with_images=True)) if finding.level != "note"]
    assert [(finding.kind, finding.where) for finding in found] == [("same-split", "val")]
    assert "all of its images (16) are images of train" in found[0].what
    small.records["val"]["images"][0]["file_name"] = "val0.jpg"
    found = [finding for finding in examine(small.case()) if finding.level != "note"]
    assert {finding.kind for finding in found} == {"same-file-in-two-splits"}
    assert len(found) == 15


def test_what_the_reader_told_is_not_told_again(small):
    for number, image in enumerate(small.records["val"]["images"]):
        image["file_name"] = f"train{number}.jpg"
    case = small.case()
    told = Finding("same-split", "warning", "data.yaml", "val is train")
    case = replace(case, folder=replace(case.folder, findings=(told,)))
    assert [finding for finding in examine(case) if finding.level != "note"] == [told]
