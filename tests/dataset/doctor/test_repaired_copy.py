"""A repaired copy leaves what it was made of alone, says what it did, and trains."""

from __future__ import annotations

import copy
import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from references.own_data import lay, pictures

from lors_det.data.doctor import examine, open_case, repair
from lors_det.data.doctor.repaired_copy import write_repaired
from lors_det.data.folder import read_folder
from lors_det.data.record import Finding
from lors_det.errors import InputError
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


def test_a_split_of_images_that_show_nothing_is_read_back(tmp_path):
    files = {**pictures("images/train", "a b c"), **pictures("images/val", "d"), **pictures("images/test", "e")}
    labels = {f"labels/{name}.txt": "0 .5 .5 .5 .5" for name in ("train/a", "train/b", "train/c", "val/d")}
    folder = read_folder(lay(tmp_path / "set", {**files, **labels, "classes.txt": "cat"}))
    write_repaired(open_case(folder, with_images=True), tmp_path / "mended")
    read_back = read_folder(tmp_path / "mended")
    assert read_back.findings == ()
    assert {name: len(split.content["images"]) for name, split in read_back.splits.items()} == {
        "train": 3,
        "val": 1,
        "test": 1,
    }


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
        "train: 1 missing image dropped",
        "train: 1 box without area dropped",
        "train: 1 box outside of the image dropped",
        "train: 1 repeated box dropped",
    )
    assert [finding for finding in examine(mended.case) if finding.level != "note"] == []
    assert len(mended.case.tables[0].images) == 39
    assert len(mended.case.tables[0].annotations) == 76


@pytest.mark.parametrize("missing", [3, 4])
def test_boxes_of_a_missing_image_become_no_others(small, missing):
    """Nor does an image keep none of its own where both have one id."""
    train = small.records["train"]
    train["images"][4]["id"] = 3
    for annotation in train["annotations"]:
        annotation["image_id"] = 3 if annotation["image_id"] == 4 else annotation["image_id"]
    os.unlink(small.root / f"train{missing}.jpg")
    mended = repair(small.case(with_images=True), small.root)
    assert mended.actions == (
        "train: 1 missing image dropped",
        "train: 1 image of the same id as one of these dropped",
    )
    assert [finding for finding in examine(mended.case) if finding.level == "error"] == []
    assert len(mended.case.tables[0].images) == 38
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
    assert mended.actions[0] == "all splits: 1 box of 'racoon' made 'raccoon'"
    assert mended.case.tables[0].class_counts.tolist() == [40, 40]


def test_a_val_of_images_of_train_becomes_part_of_train(small):
    for number, image in enumerate(small.records["val"]["images"]):
        image["file_name"] = f"train{number}.jpg"
    mended = repair(small.case(with_images=True), small.root)
    assert mended.actions == ("val: dropped, since train has all of its images; part of train is val now",)
    train, val = mended.case.tables
    assert (len(train.images), len(val.images)) == (32, 8)
    assert not set(train.paths) & set(val.paths)
    assert "same-split" not in {finding.kind for finding in examine(mended.case)}
    assert repair(mended.case, small.root).actions == ()


def test_faults_of_folders_are_none_of_a_copy(small):
    case = small.case()
    faults = tuple(Finding(kind, "error", "data.yaml", "") for kind in ("missing-folder", "label-of-two-images"))
    case = replace(case, folder=replace(case.folder, findings=faults))
    assert repair(case, small.root).case.folder.findings == faults[1:]


def test_a_folder_of_something_else_is_left_alone(small, tmp_path):
    out = tmp_path / "out"
    for name in ("other.txt", "annotations/test.json", "annotations/notes/a"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("{}")
        with pytest.raises(InputError, match=f"no earlier repair of this data, such as {name.removesuffix('/a')}"):
            write_repaired(small.case(), out)
        (out / name).unlink()
    assert not [path for path in out.rglob("*") if path.is_file()]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        write_repaired(small.case(), tmp_path / "file")


def test_a_copy_in_the_folder_of_the_data_is_refused(small):
    """A reader of the folder would find it, and what is corrected later would count no more."""
    with pytest.raises(InputError, match=r"as it is in their folder, .*; name a folder beside it"):
        write_repaired(small.case(), small.root / "fixed")
    assert not (small.root / "fixed").exists()


def test_images_that_cannot_be_read_now_are_not_dropped(small, tmp_path, monkeypatch):
    read = np.fromfile

    def denied(path, *others):
        if "train7" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path, *others)

    monkeypatch.setattr(np, "fromfile", denied)
    case = small.case(with_images=True)
    (found,) = [each for each in examine(case) if each.level == "error"]
    assert (found.kind, found.what) == ("unreadable-image", "it is there and cannot be read")
    with pytest.raises(InputError, match=r"1 image, such as .*train7\.jpg, cannot be read, and a repaired copy"):
        write_repaired(case, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_earlier_repair_is_replaced_and_another_ones_is_not(small, tmp_path):
    out = tmp_path / "out"
    small.records["test"] = small.records["val"]
    for names in ({"train", "val", "test"}, {"train", "val"}):
        small.records = {name: content for name, content in small.records.items() if name in names}
        write_repaired(small.case(), out)
        assert {path.stem for path in (out / "annotations").iterdir()} == names
    (out / ".DS_Store").touch()  # which no reader sees
    write_repaired(small.case(), out)
    case = small.case()
    before = (out / "annotations" / "train.json").read_bytes()
    with pytest.raises(InputError, match="name a new or empty folder"):
        write_repaired(replace(case, folder=replace(case.folder, root=tmp_path / "others")), out)
    assert (out / "annotations" / "train.json").read_bytes() == before
