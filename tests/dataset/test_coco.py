"""COCO files: which are taken, what is filled in and left out, and how categories are made to agree."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask
from references.own_data import PICTURE, coco, lay, picture, pictures

from lors_det.data.folder import read_folder
from lors_det.data.record import DataFolder
from lors_det.errors import InputError

BOX = [4, 2, 10, 8]


def read(root: Path, train: dict[str, Any], val: dict[str, Any] | None = None, **more: Any) -> DataFolder:
    files = {"train.json": train, "val.json": val or coco("z")}
    return read_folder(lay(root, {**files, **pictures("images", "a b c d e f z"), **more}))


def kinds(folder: DataFolder) -> list[tuple[str, str]]:
    return [(finding.kind, finding.level) for finding in folder.findings]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_encoding_of_other_editors_is_no_part_of_what_is_trained_on(tmp_path: Path, encoding: str) -> None:
    """Python reads it, pycocotools does not."""
    read(tmp_path, coco("a b"))
    (tmp_path / "train.json").write_text(json.dumps(coco("a b")), encoding=encoding)
    folder = read_folder(tmp_path)
    assert folder.findings == ()
    assert folder.splits["train"].annotation_file is None
    assert folder.splits["val"].annotation_file is not None


def test_a_file_that_is_fine_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = read(tmp_path, coco("a b"))
    assert folder.findings == ()
    for name, split in folder.splits.items():
        assert split.annotation_file == tmp_path / f"{name}.json"
        assert split.image_root == tmp_path / "images"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"area": None}, "filled-in"),
        ({"iscrowd": None}, "filled-in"),
        ({"id": None}, "filled-in"),
        ({"id": 1}, "filled-in"),
        ({"bbox": None, "segmentation": [[4, 2, 14, 2, 14, 10]]}, "filled-in"),
        ({"bbox": None, "segmentation": {"size": [20, 40], "counts": [82, 8] + [12, 8] * 9 + [530]}}, "filled-in"),
        ({"iscrowd": "0"}, "filled-in"),
        ({"iscrowd": "False"}, "filled-in"),
        ({"iscrowd": float("nan")}, "filled-in"),
        ({"area": 10**400}, "filled-in"),
        ({"bbox": [10**400, 2, 10, 8]}, "malformed-box"),
        ({"bbox": None, "segmentation": {"size": ["20", "40"], "counts": [82, 8]}}, "malformed-box"),
        ({"bbox": None, "segmentation": {"size": [20, 40], "counts": [-1, 8]}}, "malformed-box"),
        ({"bbox": None, "segmentation": {"size": [20, 40], "counts": [82, 8, 12]}}, "malformed-box"),
        ({"bbox": None, "segmentation": {"size": [40, 20], "counts": [82, 8] + [12, 8] * 9 + [530]}}, "malformed-box"),
        ({"bbox": None, "segmentation": {"size": [20, 40], "counts": None}}, "malformed-box"),
        ({"bbox": []}, "malformed-box"),
        ({"bbox": [1, 2, 3]}, "malformed-box"),
        ({"bbox": ["1", "2", "3", "4"]}, "malformed-box"),
        ({"bbox": [4, 2, 10, float("nan")]}, "malformed-box"),
        ({"bbox": None, "segmentation": []}, "malformed-box"),
        ({"image_id": 99}, "unknown-image"),
        ({"image_id": None}, "malformed-entry"),
        ({"category_id": 99}, "class-range"),
        ({"category_id": [1]}, "class-range"),
        ({"bbox": [4, 2, 0, 8]}, "no-area"),
        ({"bbox": [50, 2, 10, 8]}, "outside"),
        ({"bbox": [30, 2, 15, 8]}, "clipped"),
    ],
)
def test_annotations_are_made_whole_or_left_out(change: dict[str, Any], kind: str, tmp_path: Path) -> None:
    content = coco("a b c d e f")
    changed = {key: value for key, value in {**content["annotations"][3], **change}.items() if value is not None}
    content["annotations"][3] = changed
    folder = read(tmp_path, content)
    assert kinds(folder) == [(kind, {"filled-in": "note", "class-range": "error"}.get(kind, "warning"))]
    train = folder.splits["train"]
    boxes = {annotation["image_id"]: annotation for annotation in train.content["annotations"]}
    assert len({annotation["id"] for annotation in boxes.values()}) == len(boxes)
    if kind == "filled-in":
        assert (boxes[4]["bbox"], boxes[4]["area"], boxes[4]["iscrowd"]) == (BOX, 80, 0)
    elif change.get("bbox") == [30, 2, 15, 8]:
        assert (boxes[4]["bbox"], boxes[4]["area"]) == ([30, 2, 10, 8], 80)
    else:
        assert set(boxes) == {1, 2, 3, 5, 6}
    # a box without area is passed over in training, so that the file may be used as it is
    assert (train.annotation_file is None) == (kind != "no-area")


@pytest.mark.parametrize(("stated", "crowd"), [("1", 1), ("true", 1), (True, 1), ("maybe", 0)])
def test_crowds_are_what_the_file_calls_so(stated: Any, crowd: int, tmp_path: Path) -> None:
    content = coco("a b")
    content["annotations"][0]["iscrowd"] = stated
    folder = read(tmp_path, content)
    assert folder.splits["train"].content["annotations"][0]["iscrowd"] == crowd
    assert (("malformed-entry", "warning") in kinds(folder)) == (stated == "maybe")


def test_boxes_to_be_ignored_are_crowds(tmp_path: Path) -> None:
    """mmdet learns nothing of them, and pycocotools would count them as missed."""
    content = coco("a b c")
    content["annotations"][0]["ignore"] = 1
    content["annotations"][1]["ignore"] = 0
    folder = read(tmp_path, content)
    train = folder.splits["train"]
    assert [each["iscrowd"] for each in train.content["annotations"]] == [1, 0, 0]
    assert train.annotation_file is None
    assert [each.what for each in folder.findings if each.kind == "filled-in"] == [
        "ignore becomes iscrowd, which neither trains nor counts as missed, for 1 entry"
    ]


def test_the_first_annotation_does_not_decide_what_a_file_is(tmp_path: Path) -> None:
    content = coco("a b c")
    del content["annotations"][0]["bbox"]
    folder = read(tmp_path, content)
    assert kinds(folder) == [("malformed-box", "warning")]
    assert len(folder.splits["train"].content["annotations"]) == 2


def test_what_a_model_found_is_no_truth(tmp_path: Path) -> None:
    """Beside a set, as ``lors-det infer --json`` writes it; by itself it is named."""
    found = coco("a")
    for annotation in found["annotations"]:
        annotation["score"] = 0.5
    with pytest.raises(InputError, match="its annotations have scores, as what a model found has"):
        read_folder(lay(tmp_path / "alone", {**pictures("", "a"), "found.json": json.dumps(found)}))
    folder = read(tmp_path / "beside", coco("a"), coco("b"), **{"test_found.json": json.dumps(found)})
    assert set(folder.splits) == {"train", "val"}
    assert kinds(folder) == [("no-annotations", "warning")]


def test_a_file_without_annotations_is_named_where_it_is_all_that_there_is(tmp_path: Path) -> None:
    content = {**coco("a b"), "annotations": []}
    with pytest.raises(InputError, match=r"labels\.json lists images but no annotations"):
        read_folder(lay(tmp_path, {"labels.json": content, **pictures("images", "a b")}))


def test_images_of_one_file_may_lie_in_several_folders(tmp_path: Path) -> None:
    files = {"labels.json": coco("a b c d e"), **pictures("images/one", "a b c"), **pictures("images/two", "d e")}
    folder = read_folder(lay(tmp_path, files), val_fraction=0.5)
    assert kinds(folder) == [("filled-in", "note")]
    found = {name for split in folder.splits.values() for name in (i["file_name"] for i in split.content["images"])}
    assert found == {"a.jpg", "b.jpg", "c.jpg", "../two/d.jpg", "../two/e.jpg"}
    roots = {split.image_root for split in folder.splits.values()}
    assert all((root / name).is_file() for root in roots for name in found)


@pytest.mark.parametrize("other", ["test", "images/more"])
def test_an_image_that_another_split_or_two_folders_have_stays_missing(other: str, tmp_path: Path) -> None:
    files = {"train.json": coco("a b c d"), "val.json": coco("z"), **pictures("images", "a b c z")}
    more = {**pictures(other, "d"), **(pictures("images/third", "d") if other != "test" else {})}
    folder = read_folder(lay(tmp_path, {**files, **more}))
    assert set(kinds(folder)) == {("missing-image", "warning")}
    assert len(folder.splits["train"].content["images"]) == 3


def test_json_beside_a_set_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "lost.json").symlink_to(tmp_path / "nowhere.json")
    folder = read(tmp_path, coco("a b"), **{"deep.json": '{"images": ' + "[" * 100_000})
    assert [(f.where, f.kind, f.level) for f in folder.findings] == [
        ("deep.json", "malformed-file", "error"),
        ("lost.json", "malformed-file", "error"),
    ]


def test_a_blank_name_is_no_class(tmp_path: Path) -> None:
    folder = read(tmp_path, coco("a b", classes=(" ", "cat")), coco("z", classes=("cat",)))
    assert folder.classes == ("cat",)
    assert ("malformed-entry", "error") in kinds(folder)


def test_a_box_without_area_is_not_left_in_a_file_for_evaluation(tmp_path: Path) -> None:
    folder = read(tmp_path, coco("a b"), coco("z", boxes=[BOX, [4, 2, 10, 0]]))
    assert kinds(folder) == [("no-area", "warning")]
    assert folder.splits["val"].annotation_file is None


def test_packed_masks_have_boxes(tmp_path: Path) -> None:
    drawn = np.zeros((20, 40), np.uint8, order="F")
    drawn[2:10, 4:14] = 1
    packed = mask.encode(drawn)
    content = coco("a")
    content["annotations"][0] |= {"segmentation": {**packed, "counts": packed["counts"].decode()}}
    del content["annotations"][0]["bbox"]
    assert read(tmp_path, content).splits["train"].content["annotations"][0]["bbox"] == BOX


def test_boxes_of_another_form_are_not_clipped_away(tmp_path: Path) -> None:
    """Corners instead of widths: the one who looks into the boxes must find them as they are."""
    corners = [[20, 10, 30, 18], [25, 5, 39, 19]]
    folder = read(tmp_path, coco("a b c", boxes=corners))
    assert kinds(folder) == [("outside", "error")]
    assert [a["bbox"] for a in folder.splits["train"].content["annotations"]] == corners * 3


def test_boxes_are_not_clipped_to_a_wrong_size(tmp_path: Path) -> None:
    turned = {"images/a.jpg": picture(orientation=8)}
    folder = read(tmp_path, coco("a b c d e f", boxes=[[2, 4, 8, 10]]), **turned)
    assert folder.findings == ()  # it lies inside either way
    content = coco("a b c d e f")
    content["annotations"][0]["bbox"] = [4, 25, 10, 8]
    folder = read(tmp_path, content, **turned)
    assert kinds(folder) == [("size-differs", "warning")]
    assert folder.splits["train"].content["annotations"][0]["bbox"] == [4, 25, 10, 8]


def test_images_that_are_missing_or_doubtful(tmp_path: Path) -> None:
    content = coco("a b c d nowhere")
    content["images"][1]["id"] = 1
    del content["images"][2]["width"]
    content["images"][3] = {"file_name": "d.jpg"}
    folder = read(tmp_path, content)
    assert set(kinds(folder)) == {
        ("missing-image", "warning"),
        ("duplicate-image-id", "error"),
        ("filled-in", "note"),
        ("malformed-entry", "warning"),
        ("unknown-image", "warning"),
    }
    train = folder.splits["train"].content
    # a and b have the same id, and whose its boxes are is not told
    assert [(image["file_name"], image["width"]) for image in train["images"]] == [("c.jpg", 40)]
    assert {annotation["image_id"] for annotation in train["annotations"]} == {3}


def test_an_image_listed_twice_is_taken_once(tmp_path: Path) -> None:
    content = coco("a b")
    content["images"].append(content["images"][0])
    folder = read(tmp_path, content)
    assert kinds(folder) == [("duplicate-image-id", "error")]
    train = folder.splits["train"].content
    assert [image["file_name"] for image in train["images"]] == ["a.jpg", "b.jpg"]
    assert {annotation["image_id"] for annotation in train["annotations"]} == {1, 2}


def test_an_image_that_infer_passes_over_is_told(tmp_path: Path) -> None:
    content = coco("a b")
    content["images"][1]["file_name"] = "b.gif"
    folder = read(tmp_path, content, **{"images/b.gif": "GIF89a"})
    assert [str(finding) for finding in folder.findings if ".gif" in str(finding)] == [
        "train.json: the image has .gif, which lors-det infer passes over; save it as PNG or JPEG, for 1 entry"
    ]
    assert len(folder.splits["train"].content["images"]) == 2


def test_a_train_file_that_is_left_out_is_named_as_the_remedy(tmp_path: Path) -> None:
    content = coco("a b")
    for annotation in content["annotations"]:
        del annotation["bbox"]
    with pytest.raises(
        InputError, match=r"no train split, only val; .*or mend what kept it out \(train\.json: its anno"
    ):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("classes", "first_id", "boxes", "expected"),
    [
        (("dog", "cat"), 0, [BOX], [("class-ids", "note")]),
        (("cat", "dog"), 1, [BOX], [("class-order", "note")]),
        (("dog",), 7, [BOX], [("class-missing", "warning")]),
        (("dog", "cat", "cow"), 1, [BOX], [("class-extra", "warning")]),
        (("dog", "cow", "cat"), 1, [BOX, BOX], [("class-extra", "error")]),
        (("dog", "Cat"), 1, [BOX, BOX], [("class-extra", "error"), ("class-missing", "warning")]),
    ],
)
def test_categories_agree(
    classes: tuple[str, ...], first_id: int, boxes: list[list[float]], expected: list, tmp_path: Path
) -> None:
    val = coco("z", classes=classes, first_id=first_id, boxes=boxes)
    names = {category["id"]: category["name"] for category in val["categories"]}
    meant = [names[annotation["category_id"]] for annotation in val["annotations"]]
    folder = read(tmp_path, coco("a b"), val)
    assert kinds(folder) == expected
    train, other = (folder.splits[name].content for name in ("train", "val"))
    assert train["categories"] == other["categories"]
    assert folder.classes[:2] == ("dog", "cat")
    names = {category["id"]: category["name"] for category in other["categories"]}
    assert [names[annotation["category_id"]] for annotation in other["annotations"]] == meant
    for split in folder.splits.values():  # a file is taken as it is only where it agrees
        assert split.annotation_file is None or json.loads(split.annotation_file.read_bytes()) == split.content
    assert None in [split.annotation_file for split in folder.splits.values()]


def test_categories_that_are_used_twice(tmp_path: Path) -> None:
    folder = read(tmp_path, coco("a", classes=("dog", "dog"), boxes=[BOX, BOX]), coco("z", classes=("dog",)))
    assert ("class-names-twice", "error") in kinds(folder)
    assert folder.classes == ("dog",)
    assert {annotation["category_id"] for annotation in folder.splits["train"].content["annotations"]} == {1}


def test_an_umbrella_category_may_have_the_name_of_a_class(tmp_path: Path) -> None:
    files = [coco(names, classes=("pets", "cat")) for names in ("a b", "z")]
    for content in files:
        content["categories"] = [
            {"id": 0, "name": "pets", "supercategory": "none"},
            *({**category, "supercategory": "pets"} for category in content["categories"]),
        ]
    folder = read(tmp_path, *files)
    assert kinds(folder) == [("umbrella-category", "note")] * 2
    assert folder.classes == ("pets", "cat")
    files[0]["annotations"][0]["category_id"] = 0  # it is used: a class like others
    assert len(read(tmp_path, files[0], files[1]).classes) == 2
    assert ("umbrella-category", "note") not in kinds(read(tmp_path, *files))


def test_files_that_are_passed_over_are_told(tmp_path: Path) -> None:
    more = {
        "train_small.json": coco("a"),
        "other.json": coco("b"),
        "test.json": {**coco("c"), "annotations": []},
        "results.json": json.dumps([{"image_id": 1, "bbox": BOX}]),
        "broken_val.json": '{"images": [',
    }
    found = {finding.where: finding.kind for finding in read(tmp_path, coco("a b"), **more).findings}
    assert found == {
        "train_small.json": "two-files",
        "other.json": "no-split",
        "test.json": "no-annotations",
        "broken_val.json": "malformed-file",
    }


def test_images_that_are_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train.json: none of its images .1. is found in .*, such as x.jpg"):
        read_folder(lay(tmp_path, {"train.json": coco("x")}))
    folder = read(tmp_path, coco("a b"), coco("x"))
    assert kinds(folder) == [("no-image", "error")]
    assert set(folder.splits) == {"train", "val"}  # part of train stands in


def test_a_broken_file_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train.json: is not valid JSON"):
        read_folder(lay(tmp_path, {"train.json": '{"images": [', **pictures("", "a")}))


def test_images_are_found_in_folders_of_any_name(tmp_path: Path) -> None:
    files = {"annotations/train.json": coco("a b", prefix="deep/er/"), "annotations/val.json": coco("z")}
    places = {**pictures("photos/2021/er", "a b"), **pictures("somewhere", "z")}
    folder = read_folder(lay(tmp_path, {**files, **places}))
    assert folder.findings == ()
    assert folder.splits["train"].image_root == tmp_path / "photos" / "2021"
    assert folder.splits["val"].annotation_file is not None


WIDE = (80, 30)


def of_two_splits(train: str, val: str) -> dict[str, Any]:
    """Splits that both number their images from 0; those of val are wide."""
    content = coco("0 1")
    for image in content["images"]:
        image["width"], image["height"] = WIDE
    wide = {f"{val}/{number}.jpg": picture(WIDE) for number in (0, 1)} if val else {}
    files = {"annotations/train.json": coco("0 1 2 3"), "annotations/val.json": content}
    return {**files, **pictures(train, "0 1 2 3"), **wide}


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train_images", "val_images"),
        ("images_train", "images_val"),
        ("img/train", "img/val"),
        ("photos/coco_train", "photos/coco_valid"),
        ("images", "val_images"),
        ("data/train/a", "data/val/a"),
    ],
)
@pytest.mark.parametrize("below", ["", "train_data/"])
def test_images_are_not_those_of_another_split(train: str, val: str, below: str, tmp_path: Path) -> None:
    """Nor does it matter what the folder around all of them is called."""
    files = {f"{below}{path}": content for path, content in of_two_splits(train, val).items()}
    folder = read_folder(lay(tmp_path, files))
    assert folder.findings == ()
    roots = {name: split.image_root for name, split in folder.splits.items()}
    assert roots == {"train": tmp_path / below / train, "val": tmp_path / below / val}


def test_train_is_not_read_from_a_folder_of_test(tmp_path: Path) -> None:
    files = {"annotations/train.json": coco("0 1"), **pictures("test_images", "0 1")}
    with pytest.raises(InputError, match=r"train.json: .* 0.jpg, are only in test_images, a folder of test; put the"):
        read_folder(lay(tmp_path, files))
    folder = read_folder(lay(tmp_path, pictures("photos", "0 1")))
    assert {split.image_root for split in folder.splits.values()} == {tmp_path / "photos"}


def test_a_file_that_calls_itself_no_split_has_the_images_that_there_are(tmp_path: Path) -> None:
    files = {"annotations/all.json": coco("0 1"), **pictures("test_images", "0 1")}
    assert {split.image_root.name for split in read_folder(lay(tmp_path, files)).splits.values()} == {"test_images"}


@pytest.mark.parametrize("numbers", ["0 1", "4 5"])
def test_a_folder_of_train_has_images_of_val_that_train_does_not_name(numbers: str, tmp_path: Path) -> None:
    files = {**of_two_splits("train_images", ""), "annotations/val.json": coco(numbers)}
    folder = read_folder(lay(tmp_path, {**files, **pictures("train_images", "4 5")}))
    if numbers == "4 5":
        assert folder.findings == ()
        assert folder.splits["val"].image_root == tmp_path / "train_images"
    else:  # they may be images of which the folder is missing
        assert kinds(folder) == [("image-folder", "error")]
        assert "only in train_images, a folder of train" in folder.findings[0].what


def test_two_folders_with_other_images_of_the_same_names_are_refused(tmp_path: Path) -> None:
    files = {"train.json": coco("0 1 2 3"), **pictures("left", "0 1 2 3"), **pictures("right", "1 2 3")}
    with pytest.raises(InputError, match=r"train.json: left and right both have .*0.jpg is another in each; move away"):
        read_folder(lay(tmp_path / "other", {**files, "right/0.jpg": picture(WIDE)}))
    folder = read_folder(lay(tmp_path / "copies", {**files, "right/0.jpg": PICTURE}))
    assert {split.image_root.name for split in folder.splits.values()} == {"left"}


@pytest.mark.parametrize("area", [0, -1, float("nan"), float("inf"), True, "80"])
def test_areas_with_which_boxes_would_be_passed_over_are_filled_in(area: Any, tmp_path: Path) -> None:
    content = coco("a b")
    for annotation in content["annotations"]:
        annotation["area"] = area
    folder = read(tmp_path, content)
    assert kinds(folder) == [("filled-in", "note")]
    train = folder.splits["train"]
    assert [annotation["area"] for annotation in train.content["annotations"]] == [80, 80]
    assert train.annotation_file is None


@pytest.mark.parametrize("ids", [(2, 1), (7, 3), ("1", "2"), ("9", "10"), (1, "2")])
def test_ids_of_categories_that_an_evaluation_would_sort_are_given_anew(ids: tuple, tmp_path: Path) -> None:
    files = [coco(names, boxes=[BOX, [1, 1, 5, 5]]) for names in ("a b", "z")]
    for content in files:
        for category, new in zip(content["categories"], ids):
            category["id"] = new
        for annotation in content["annotations"]:
            annotation["category_id"] = ids[annotation["category_id"] - 1]
    folder = read(tmp_path, *files)
    assert kinds(folder) == [("category-id-order", "note")] * 2
    for split in folder.splits.values():
        assert [category["id"] for category in split.content["categories"]] == [1, 2]
        assert split.annotation_file is None
        assert {(a["bbox"][2], a["category_id"]) for a in split.content["annotations"]} == {(10, 1), (5, 2)}


def test_gaps_between_ascending_ids_are_left(tmp_path: Path) -> None:
    files = [coco(names, first_id=90) for names in ("a b", "z")]
    folder = read(tmp_path, *files)
    assert folder.findings == ()
    assert all(split.annotation_file is not None for split in folder.splits.values())


def test_an_annotation_of_id_0_is_told_and_numbered_anew(tmp_path: Path) -> None:
    content = coco("z", boxes=[BOX, BOX])
    content["annotations"][0]["id"] = 0
    folder = read(tmp_path, coco("a b"), content)
    assert kinds(folder) == [("annotation-id-0", "note")]
    assert folder.splits["val"].annotation_file is None
    assert [a["id"] for a in folder.splits["val"].content["annotations"]] == [1, 2]


@pytest.mark.parametrize("other", [float, str, lambda number: f" {number}"])
@pytest.mark.parametrize("section", ["images", "categories", "annotations"])
def test_ids_that_are_written_in_two_ways_are_matched(other: Any, section: str, tmp_path: Path) -> None:
    files = [coco("a b c"), coco("z")]
    train = files[0]
    if section == "annotations":
        for annotation in train["annotations"]:
            annotation |= {"image_id": other(annotation["image_id"]), "category_id": other(annotation["category_id"])}
    else:
        for entry in train[section]:
            entry["id"] = other(entry["id"])
    folder = read(tmp_path, *files)
    assert not [finding for finding in folder.findings if finding.level != "note"]
    kind = "category-id-order" if section == "categories" else "filled-in"
    assert kinds(folder) == ([] if other is float else [(kind, "note")])
    made = folder.splits["train"].content
    assert [annotation["image_id"] for annotation in made["annotations"]] == [image["id"] for image in made["images"]]
    assert {type(category["id"]) for category in made["categories"]} == {int}
    assert len(made["annotations"]) == 3
    assert folder.splits["train"].annotation_file is None


def test_texts_that_two_ids_have_match_nothing(tmp_path: Path) -> None:
    train = coco("a b c")
    train["images"][1]["id"] = "1"
    train["annotations"][1]["image_id"] = " 1"
    train["annotations"][2]["image_id"] = "3"
    folder = read(tmp_path, train)
    assert [finding.kind for finding in folder.findings if finding.level != "note"] == ["unknown-image"] * 2
    made = folder.splits["train"].content
    assert [image["id"] for image in made["images"]] == [1, 2, 3]
    assert [annotation["image_id"] for annotation in made["annotations"]] == [1]


def test_numbers_are_names_of_classes(tmp_path: Path) -> None:
    files = [coco(names, classes=(0, 1)) for names in ("a b", "z")]  # type: ignore[arg-type]
    folder = read(tmp_path, *files)
    assert folder.classes == ("0", "1")
    assert folder.splits["train"].annotation_file is None


def test_reasons_are_told_where_nothing_can_be_used(tmp_path: Path) -> None:
    train = coco("a b")
    for category in train["categories"]:
        del category["name"]
    with pytest.raises(InputError, match=r"none of its images, or .* can be used \(.*categories\[0\] lacks id or name"):
        read_folder(lay(tmp_path, {"train.json": train, **pictures("images", "a b")}))


def test_names_with_commas_are_quoted(tmp_path: Path) -> None:
    folder = read(tmp_path, coco("a b", classes=("dog", "cat, small", "cow")), coco("z", classes=("dog",)))
    (finding,) = folder.findings
    assert "lacks the categories 'cat, small', cow of" in finding.what


def test_boxes_are_judged_in_their_own_images_where_ids_are_made_anew(tmp_path: Path) -> None:
    """Ids that are numbers and text, of which the old of one image is the new of another."""
    train = coco("a b c")
    for image, annotation, name in zip(train["images"], train["annotations"], (2, 1, "x")):
        image["id"] = annotation["image_id"] = name
    width = train["images"][0]["width"]
    train["annotations"][0]["bbox"] = [0.0, 0.0, width + 5.0, 5.0]
    train["annotations"][1]["bbox"][2] = 0.0
    folder = read(tmp_path, train)
    said = {finding.kind: finding for finding in folder.findings}
    assert Path(train["images"][0]["file_name"]).stem in str(said["clipped"])
    made = folder.splits["train"].content
    assert len(made["annotations"]) == 2
    assert made["annotations"][0]["bbox"] == [0.0, 0.0, width, 5.0]
