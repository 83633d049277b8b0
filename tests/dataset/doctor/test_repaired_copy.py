"""A repaired copy leaves what it was made of alone, says what it did, and trains."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import cv2
import pytest

from lors_det.data.doctor import examine, repair
from lors_det.data.folder import read_folder
from lors_det.plugin.dataset import CocoDetection


def write(case, out: Path) -> None:
    (out / "annotations").mkdir(parents=True)
    for name, split in case.folder.splits.items():
        (out / "annotations" / f"{name}.json").write_text(json.dumps(split.content))


@pytest.mark.parametrize("out", ["../mended", "deep/er/mended", "link"])
def test_the_copy_is_read_back_and_trained_on_as_it_is(small, tmp_path, out):
    """From beside the images, below them, and through a link to a folder elsewhere."""
    place = tmp_path / out
    if out == "link":
        elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere" / "far"
        elsewhere.mkdir(parents=True)
        place.symlink_to(elsewhere)
    else:
        place = place.resolve().parent / f"{tmp_path.name}-mended"
    mended = repair(small.case(with_images=True), place)
    assert mended.actions == ()
    write(mended.case, place)
    assert read_folder(place).findings == ()
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="PackDetInputs"),
    ]
    files = dict(data_root=f"{place}/", ann_file="annotations/val.json", data_prefix=dict(img=""))
    opened = CocoDetection(pipeline=pipeline, **files)
    assert len(opened) == 16
    pixels = cv2.imread(str(small.root / "val3.jpg")).transpose(2, 0, 1)
    assert (opened[3]["inputs"].numpy() == pixels).all()
    assert opened.metainfo["classes"] == ("raccoon", "badger")


def test_what_is_done_is_said(small):
    train = small.records["train"]
    train["annotations"][0]["bbox"][2] = 0
    train["annotations"][1]["bbox"][0] = 500
    train["annotations"].append({**train["annotations"][4], "id": 5})
    os.unlink(small.root / "train7.jpg")
    before = copy.deepcopy(small.records)
    mended = repair(small.case(with_images=True), small.root)
    assert small.records == before
    assert mended.actions == (
        "train: 1 images dropped whose files are missing",
        "train: 1 boxes without area dropped",
        "train: 1 boxes outside of their image dropped",
        "train: 1 repeated boxes dropped",
    )
    assert [finding for finding in examine(mended.case) if finding.level != "note"] == []
    assert len(mended.case.tables[0].images) == 39
    assert len(mended.case.tables[0].annotations) == 76


def test_a_file_listed_twice_keeps_all_its_boxes(small):
    train = small.records["train"]
    train["images"].append({**train["images"][3], "id": 99})
    train["annotations"][0]["image_id"] = 99
    mended = repair(small.case(), small.root).case.tables[0]
    assert len(mended.images) == 40
    assert [a["image_id"] for a in mended.annotations if a["bbox"] == train["annotations"][0]["bbox"]] == [3]


def test_names_are_changed_only_when_asked(small):
    for record in small.records.values():
        record["categories"].append({"id": 3, "name": "racoon"})
    small.records["train"]["annotations"][0]["category_id"] = 3
    assert repair(small.case(), small.root).case.folder.classes == ("raccoon", "badger", "racoon")
    mended = repair(small.case(), small.root, fix_classes=True)
    assert mended.case.folder.classes == ("raccoon", "badger")
    assert mended.actions[0] == "all splits: 1 boxes of 'racoon' made 'raccoon'"
    assert mended.case.tables[0].class_counts.tolist() == [40, 40]
