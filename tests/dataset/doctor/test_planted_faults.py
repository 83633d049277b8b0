"""Faults put into a clean set of photographs are found by their kind, and nothing else is."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from lors_det.data.doctor import examine, open_case, repair
from lors_det.data.folder import read_folder
from lors_det.data.record import DataFolder, Finding, Split

Records = dict[str, dict[str, Any]]
Fault = Callable[[Records, Path], None]


def test_the_clean_set_has_its_two_boxes_without_area(bccd):
    """And a note: train's 38 and val's 37 are one field of view at another focus."""
    found = examine(open_case(read_folder(bccd)))
    told = [finding for finding in found if finding.level != "note"]
    assert {finding.kind for finding in told} == {"no-area"}
    assert sorted(finding.where.rpartition("/")[2] for finding in told) == [
        "BloodImage_00338.jpg",
        "BloodImage_00343.jpg",
    ]
    (scene,) = (finding for finding in found if finding.kind == "similar-image-in-two-splits")
    assert "BloodImage_00038" in scene.where


@pytest.fixture(scope="module")
def clean(bccd) -> Records:
    """COCO records of 60 photographs to train on and 24 to validate, less the leak."""
    splits = read_folder(bccd).splits
    return {name: part(splits[name].content, count) for name, count in (("train", 60), ("val", 24))}


def part(content: dict[str, Any], count: int) -> dict[str, Any]:
    images = [image for image in content["images"] if "_0003" not in image["file_name"]][:count]
    ids = {image["id"] for image in images}
    images = [{**image, "file_name": Path(image["file_name"]).name} for image in images]
    return {**content, "images": images, "annotations": [a for a in content["annotations"] if a["image_id"] in ids]}


@pytest.fixture
def place(tmp_path, bccd, clean) -> Path:
    """The images, each its own file."""
    for record in clean.values():
        for image in record["images"]:
            shutil.copy(bccd / "JPEGImages" / image["file_name"], tmp_path)
    return tmp_path


def look(records: Records, place: Path) -> list[Finding]:
    splits = {name: Split(name, place, content, name) for name, content in records.items()}  # type: ignore[arg-type]
    return list(examine(open_case(DataFolder(place, "COCO", ("Platelets", "RBC", "WBC"), splits))))


def image_at(place: Path, records: Records, split: str = "train", index: int = 0) -> Path:
    return place / records[split]["images"][index]["file_name"]


def each_box(records: Records, change: Callable[[list[float], dict[str, Any]], list[float]], split: str) -> None:
    images = {image["id"]: image for image in records[split]["images"]}
    for annotation in records[split]["annotations"]:
        annotation["bbox"] = change(annotation["bbox"], images[annotation["image_id"]])


def corners(records: Records, place: Path) -> None:
    each_box(records, lambda b, image: [b[0], b[1], b[0] + b[2], b[1] + b[3]], "train")


def centres(records: Records, place: Path) -> None:
    each_box(records, lambda b, image: [b[0] + b[2] / 2, b[1] + b[3] / 2, b[2], b[3]], "train")


def yolo_numbers(records: Records, place: Path) -> None:
    w, h = 640, 480
    each_box(records, lambda b, image: [(b[0] + b[2] / 2) / w, (b[1] + b[3] / 2) / h, b[2] / w, b[3] / h], "val")


def fractions(records: Records, place: Path) -> None:
    each_box(records, lambda b, image: [b[0] / 640, b[1] / 480, b[2] / 640, b[3] / 480], "train")


def no_area(records: Records, place: Path) -> None:
    records["train"]["annotations"][5]["bbox"][2] = 0


def outside(records: Records, place: Path) -> None:
    records["train"]["annotations"][5]["bbox"][0] = 700


def partly_outside(records: Records, place: Path) -> None:
    records["train"]["annotations"][5]["bbox"] = [600, 100, 80, 80]


def same_box_twice(records: Records, place: Path) -> None:
    annotations = records["train"]["annotations"]
    annotations.append({**annotations[3], "id": 99_999})


def annotation_id_twice(records: Records, place: Path) -> None:
    records["train"]["annotations"][3]["id"] = records["train"]["annotations"][4]["id"]


def image_id_twice(records: Records, place: Path) -> None:
    images = records["train"]["images"]
    images[1]["id"] = images[0]["id"]


def file_twice(records: Records, place: Path) -> None:
    images = records["train"]["images"]
    images.append({**images[3], "id": 99_999})


def file_in_both(records: Records, place: Path) -> None:
    records["val"]["images"][0]["file_name"] = records["train"]["images"][0]["file_name"]


def copy_in_both(records: Records, place: Path) -> None:
    shutil.copy(image_at(place, records), image_at(place, records, "val"))


def saved_anew_in_both(records: Records, place: Path) -> None:
    image = cv2.imread(str(image_at(place, records)))
    smaller = cv2.resize(image, (600, 450), interpolation=cv2.INTER_AREA)
    again = cv2.resize(smaller, (640, 480), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(image_at(place, records, "val")), again, [cv2.IMWRITE_JPEG_QUALITY, 70])


def unknown_category(records: Records, place: Path) -> None:
    records["train"]["annotations"][7]["category_id"] = 77


def unknown_image(records: Records, place: Path) -> None:
    records["val"]["annotations"][7]["image_id"] = 99_999


def ids_from_zero(records: Records, place: Path) -> None:
    for annotation in records["train"]["annotations"]:
        annotation["category_id"] -= 1


def other_order(records: Records, place: Path) -> None:
    records["val"]["categories"] = records["val"]["categories"][::-1]


def class_missing(records: Records, place: Path) -> None:
    records["val"]["categories"] = records["val"]["categories"][:2]
    records["val"]["annotations"] = [a for a in records["val"]["annotations"] if a["category_id"] < 3]


def class_only_in_val(records: Records, place: Path) -> None:
    records["train"]["annotations"] = [a for a in records["train"]["annotations"] if a["category_id"] != 1]


def typing_error(records: Records, place: Path) -> None:
    for record in records.values():
        record["categories"].append({"id": 4, "name": "Platelts"})
    for annotation in [a for a in records["train"]["annotations"] if a["category_id"] == 1][:3]:
        annotation["category_id"] = 4


def missing(records: Records, place: Path) -> None:
    image_at(place, records, "val", 3).unlink()


def truncated(records: Records, place: Path) -> None:
    path = image_at(place, records, "train", 3)
    path.write_bytes(path.read_bytes()[:5000])


def no_image(records: Records, place: Path) -> None:
    image_at(place, records, "train", 3).write_text("<html>404</html>")


def twelve_bits(records: Records, place: Path) -> None:
    path = image_at(place, records, "train", 3)
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.uint16) * 16
    path.write_bytes(cv2.imencode(".png", grey)[1].tobytes())


def turned(records: Records, place: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in range(5):
        path = image_at(place, records, "train", index)
        Image.open(path).save(path, "JPEG", quality=90, exif=exif)


def swapped(records: Records, place: Path) -> None:
    for image in records["train"]["images"]:
        image["width"], image["height"] = image["height"], image["width"]


def halved(records: Records, place: Path) -> None:
    for image in records["train"]["images"]:
        image["width"], image["height"] = 320, 240
    each_box(records, lambda b, image: [value / 2 for value in b], "train")


def not_numbers(records: Records, place: Path) -> None:
    records["train"]["annotations"][7]["bbox"] = [1, 2, "three", 4]


FAULTS: dict[Fault, tuple[str, str]] = {
    corners: ("box-form-corners", "error"),
    centres: ("box-form-centre", "error"),
    yolo_numbers: ("box-form-relative-centre", "error"),
    fractions: ("box-form-relative", "error"),
    no_area: ("no-area", "warning"),
    outside: ("outside", "warning"),
    partly_outside: ("partly-outside", "warning"),
    same_box_twice: ("duplicate-box", "warning"),
    annotation_id_twice: ("duplicate-annotation-id", "error"),
    image_id_twice: ("duplicate-image-id", "error"),
    file_twice: ("listed-twice", "warning"),
    file_in_both: ("same-file-in-two-splits", "warning"),
    copy_in_both: ("identical-image-in-two-splits", "warning"),
    saved_anew_in_both: ("near-identical-image-in-two-splits", "warning"),
    unknown_category: ("class-range", "error"),
    unknown_image: ("unknown-image", "error"),
    ids_from_zero: ("class-ids-shifted", "error"),
    other_order: ("class-order", "error"),
    class_missing: ("class-missing", "error"),
    class_only_in_val: ("class-not-in-train", "warning"),
    typing_error: ("class-typo", "warning"),
    missing: ("missing-image", "error"),
    truncated: ("truncated-image", "error"),
    no_image: ("undecodable-image", "error"),
    twelve_bits: ("black-16-bit", "error"),
    turned: ("exif-size", "error"),
    swapped: ("swapped-size", "error"),
    halved: ("scaled-size", "error"),
    not_numbers: ("malformed-box", "error"),
}
NOT_MENDED = (image_id_twice, file_in_both, copy_in_both, saved_anew_in_both, class_only_in_val, twelve_bits)
"""Only a person can."""


def test_the_part_to_plant_in_is_clean(clean, place):
    assert [finding for finding in look(clean, place) if finding.level != "note"] == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found_and_mended(clean, place, fault):
    records = copy.deepcopy(clean)
    fault(records, place)
    before = json.dumps(records)
    found = {(finding.kind, finding.level) for finding in look(records, place) if finding.level != "note"}
    allowed = {("unknown-image", "error")} if fault is image_id_twice else set()  # no image has the other's id
    assert FAULTS[fault] in found
    assert found - allowed == {FAULTS[fault]}

    splits = {name: Split(name, place, content, name) for name, content in records.items()}
    case = open_case(DataFolder(place, "COCO", ("Platelets", "RBC", "WBC"), splits))
    mended = repair(case, place / "mended", fix_classes=True)
    assert json.dumps(records) == before
    left = {finding.kind for finding in examine(mended.case) if finding.level != "note"}
    assert (FAULTS[fault][0] in left) == (fault in NOT_MENDED)
    assert mended.actions or fault in NOT_MENDED
    again = repair(mended.case, place / "mended", fix_classes=True)
    assert again.actions == ()


@pytest.mark.parametrize("fault", [corners, centres, yolo_numbers, fractions, swapped, halved, ids_from_zero])
def test_what_is_mended_is_what_was_there(clean, place, fault):
    records = copy.deepcopy(clean)
    fault(records, place)
    splits = {name: Split(name, place, content, name) for name, content in records.items()}
    case = repair(open_case(DataFolder(place, "COCO", (), splits)), place).case
    for table in case.tables:
        wanted = clean[table.name]
        np.testing.assert_allclose(table.boxes, [a["bbox"] for a in wanted["annotations"]], atol=1e-6)
        np.testing.assert_array_equal(table.sizes, [(640, 480)] * len(wanted["images"]))
        assert [a["category_id"] for a in table.annotations] == [a["category_id"] for a in wanted["annotations"]]
