"""Folders as people have them: what is recognised, where the splits come from, and what is said of the rest."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from references.own_data import PICTURE, coco, lay, picture, pictures, voc

from lors_det.data.folder import read_folder, summary_rows
from lors_det.data.record import DataFolder
from lors_det.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data"
LABEL = "1 .225 .3 .25 .4\n"  # 4, 2, 10, 8 in a picture of 40 x 20
BOX = [4.0, 2.0, 10.0, 8.0]
XML = voc(("dog", 5, 3, 15, 11))  # the same box
CLASSES = "names: [cat, dog]\n"


def labels(folder: str, names: str) -> dict[str, str]:
    return {f"{folder}/{name}.txt".lstrip("/"): LABEL for name in names.split()}


def xmls(folder: str, names: str) -> dict[str, str]:
    return {f"{folder}/{name}.xml".lstrip("/"): XML for name in names.split()}


def yolo(folder: str, names: str) -> dict[str, bytes | str]:
    return {**pictures(f"{folder}/images", names), **labels(f"{folder}/labels", names)}


def roboflow_coco(names: str) -> dict:
    made = coco(names, first_id=1)
    umbrella = {"id": 0, "name": "pets", "supercategory": "none"}
    return {**made, "categories": [umbrella, *({**c, "supercategory": "pets"} for c in made["categories"])]}


# every layout holds a, b, c in train and d in val, each with one box of dog
SPLIT_LAYOUTS = {
    "YOLO, paths that are right on another machine": {
        "data.yaml": f"train: ../train/images\nval: ../valid/images\ntest: ''\n{CLASSES}nc: 2",
        **yolo("train", "a b c"),
        **yolo("valid", "d"),
    },
    "YOLO, absolute paths of another machine, names by id": {
        "pets.yaml": "path: /content/pets\ntrain: /content/pets/images/train\nval: images/val\nnames: {0: cat, 1: dog}",
        **pictures("images/train", "a b c"),
        **labels("labels/train", "a b c"),
        **pictures("images/val", "d"),
        **labels("labels/val", "d"),
    },
    "YOLO, lists of images": {
        "data.yaml": f"train: train.txt\nval: val.txt\n{CLASSES}",
        "train.txt": "./images/a.jpg\nimages/b.jpg\n/home/me/pets/images/c.jpg\n",
        "val.txt": "pets/images/d.jpg",
        **yolo("", "a b c d"),
    },
    "YOLO, lists of folders": {
        "dataset.yml": f"train:\n- one/images\n- two/images\nval: [three/images]\n{CLASSES}",
        **yolo("one", "a b"),
        **yolo("two", "c"),
        **yolo("three", "d"),
    },
    "YOLO without YAML, classes.txt": {
        "labels/classes.txt": "cat\ndog\n",
        **pictures("images/train", "a b c"),
        **labels("labels/train", "a b c"),
        **pictures("images/val", "d"),
        **labels("labels/val", "d"),
    },
    "YOLO as Darknet has it": {
        "obj.names": "cat\ndog\n",
        "obj.data": "classes = 2",
        "train.txt": "data/obj_data/a.jpg\ndata/obj_data/b.jpg\ndata/obj_data/c.jpg",
        "valid.txt": "data/obj_data/d.jpg",
        **pictures("obj_data", "a b c d"),
        **labels("obj_data", "a b c d"),
    },
    "COCO's own folders": {
        "annotations/instances_train2017.json": coco("a b c"),
        "annotations/captions_train2017.json": {"images": [], "annotations": []},
        "annotations/person_keypoints_train2017.json": coco("a b", classes=("person",)),
        "annotations/instances_val2017.json": coco("d"),
        **pictures("train2017", "a b c"),
        **pictures("val2017", "d"),
    },
    "COCO as Roboflow exports it": {
        "train/_annotations.coco.json": {**roboflow_coco("a b c")},
        "valid/_annotations.coco.json": {**roboflow_coco("d")},
        **pictures("train", "a b c"),
        **pictures("valid", "d"),
    },
    "COCO, two files and one folder of images": {
        "train.json": coco("a b c", prefix="images/"),
        "val.json": coco("d", prefix="C:\\data\\images\\"),
        **pictures("images", "a b c d"),
    },
    "VOC with lists": {
        "ImageSets/Main/train.txt": "a\nb\nc\n",
        "ImageSets/Main/val.txt": "d",
        "ImageSets/Main/dog_train.txt": "a -1\nd 1",
        "ImageSets/Main/trainval.txt": "a\nb\nc\nd",
        **xmls("Annotations", "a b c d"),
        **pictures("JPEGImages", "a b c d"),
    },
    "VOC in an archive's folders": {
        "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt": "a\nb\nc\nd\n",
        "VOCdevkit/VOC2007/ImageSets/Main/val.txt": "d",
        **xmls("VOCdevkit/VOC2007/Annotations", "a b c d"),
        **pictures("VOCdevkit/VOC2007/JPEGImages", "a b c d"),
        "__MACOSX/VOCdevkit/a.xml": "nothing",
        ".DS_Store": "nothing",
    },
    "VOC as Roboflow exports it": {
        **pictures("train", "a b c"),
        **xmls("train", "a b c"),
        **pictures("valid", "d"),
        **xmls("valid", "d"),
    },
    "VOC, folders in folders": {
        **pictures("data/train/images", "a b c"),
        **xmls("data/train/annotations", "a b c"),
        **pictures("data/val/images", "d"),
        **xmls("data/val/annotations", "d"),
    },
}

# the same four images, without splits
WHOLE_LAYOUTS = {
    "YOLO, all beside each other": {"classes.txt": "cat\ndog", **pictures("", "a b c d"), **labels("", "a b c d")},
    "YOLO, images and labels": {"data.yaml": CLASSES, **yolo("", "a b c d")},
    "YOLO in two folders of an archive": {
        "pets/pets-main/data.yaml": CLASSES,
        "README.md": "pets",
        **yolo("pets/pets-main", "a b c d"),
    },
    "YOLO, photos anywhere": {
        "labels/classes.txt": "cat\ndog",
        **pictures("photos", "a b c d"),
        **labels("labels/photos", "a b c d"),
    },
    "COCO, one file": {"annotations/instances_default.json": coco("a b c d"), **pictures("images/x", "a b c d")},
    "COCO, a result beside data": {"labels.json": coco("a b c d"), **pictures("data", "a b c d")},
    "VOC without lists": {**xmls("annotations", "a b c d"), **pictures("images", "a b c d")},
    "VOC, XML elsewhere": {**xmls("notes/mine", "a b c d"), **pictures("photos/2020", "a b c d")},
}


def stems(folder: DataFolder) -> dict[str, list[str]]:
    return {
        name: [Path(image["file_name"]).stem for image in split.content["images"]]
        for name, split in folder.splits.items()
    }


def check_records(folder: DataFolder) -> None:
    """Every record is one of COCO's, its images exist, and all have the same categories."""
    for split in folder.splits.values():
        content = split.content
        assert tuple(category["name"] for category in content["categories"]) == folder.classes
        for section in content.values():
            if section and isinstance(section, list) and "id" in section[0]:
                assert max(Counter(entry["id"] for entry in section).values()) == 1
        images = {image["id"]: image for image in content["images"]}
        assert all((split.image_root / image["file_name"]).is_file() for image in images.values())
        assert {a["image_id"] for a in content["annotations"]} <= set(images)
        assert {a["category_id"] for a in content["annotations"]} <= {c["id"] for c in content["categories"]}
        assert all({"area", "iscrowd", "bbox"} <= set(a) for a in content["annotations"])
        if split.annotation_file is not None:
            assert json.loads(split.annotation_file.read_bytes()) == content


def test_no_two_layouts_are_the_same_by_mistake() -> None:
    assert len({tuple(layout) for layout in (SPLIT_LAYOUTS | WHOLE_LAYOUTS).values()}) == 21


@pytest.mark.parametrize("name", SPLIT_LAYOUTS)
def test_layouts_with_splits(name: str, tmp_path: Path) -> None:
    folder = read_folder(lay(tmp_path / "set", SPLIT_LAYOUTS[name]))
    check_records(folder)
    assert stems(folder) == {"train": ["a", "b", "c"], "val": ["d"]}
    assert folder.form == {"YO": "YOLO", "CO": "COCO", "VO": "Pascal VOC"}[name[:2]]
    for split in folder.splits.values():
        names = {category["id"]: category["name"] for category in split.content["categories"]}
        found = [(a["bbox"], names[a["category_id"]]) for a in split.content["annotations"]]
        assert found == [(pytest.approx(BOX), "dog")] * len(split.content["images"])
    assert [finding for finding in folder.findings if finding.level != "note"] == []


@pytest.mark.parametrize("name", WHOLE_LAYOUTS)
def test_layouts_without_splits(name: str, tmp_path: Path) -> None:
    folder = read_folder(lay(tmp_path / "set", WHOLE_LAYOUTS[name]), val_fraction=0.5)
    check_records(folder)
    found = stems(folder)
    assert sorted(found["train"] + found["val"]) == ["a", "b", "c", "d"]
    assert found["train"]
    assert found["val"]
    assert all(split.source.startswith("2 of 4 images of ") for split in folder.splits.values())
    assert [finding for finding in folder.findings if finding.level != "note"] == []


def test_test_is_kept_and_val_comes_from_train(tmp_path: Path) -> None:
    names = " ".join(f"i{number}" for number in range(30))
    root = lay(tmp_path, {**yolo("train", names), **yolo("test", "x y"), "data.yaml": CLASSES})
    folder = read_folder(root)
    assert stems(folder)["test"] == ["x", "y"]
    assert [len(names) for names in stems(folder).values()] == [24, 6, 2]
    assert folder.splits["val"].source == "6 of 30 images of train/images, by their names"


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    root = lay(tmp_path, WHOLE_LAYOUTS["VOC, XML elsewhere"])
    assert read_folder(root) == read_folder(root)
    assert read_folder(Path(os.path.relpath(root))) == read_folder(root)


def test_one_image_is_too_few(tmp_path: Path) -> None:
    root = lay(tmp_path, {"data.yaml": CLASSES, **yolo("", "a")})
    with pytest.raises(InputError, match="1 image cannot be split into train and val"):
        read_folder(root)
    with pytest.raises(InputError, match="share of val is 1"):
        read_folder(root, val_fraction=1)


def test_a_set_without_train_is_refused(tmp_path: Path) -> None:
    root = lay(tmp_path, {"data.yaml": f"val: val/images\n{CLASSES}", **yolo("val", "a b")})
    with pytest.raises(InputError, match="there is no train split, only val"):
        read_folder(root)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.json": {"shapes": [], "imagePath": "a.jpg"}, **pictures("", "a")}, "LabelMe"),
        ({"via.json": {"_via_img_metadata": {"a": {"regions": []}}}, **pictures("", "a")}, "VIA"),
        ({"annotations.xml": "<annotations><image/></annotations>", **pictures("images", "a")}, "CVAT"),
        ({"labels.csv": "a,1,2", **pictures("images", "a")}, r"table \(CSV\)"),
        ({"x.tfrecord": "a", "y.tfrecord": "b"}, "2 .tfrecord; it looks like TFRecord"),
        ({**pictures("cat", "a b"), **pictures("dog", "c")}, "3 .jpg; images in 2 folders .* classification"),
        ({"readme.md": "a"}, "Found: 1 .md; the images, if any, are not annotated"),
        ({}, "Found: no file"),
        ({"pets.zip": "a", "readme.md": "a"}, "1 .md; it looks like an archive: unpack it, and name the folder"),
    ],
)
def test_what_is_not_recognised_is_described(files: dict, words: str, tmp_path: Path) -> None:
    root = lay(tmp_path / "set", files)
    root.mkdir(exist_ok=True)
    with pytest.raises(InputError, match=f"no data set of a known form.*YOLO.*COCO.*Pascal VOC.*{words}"):
        read_folder(root)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_folder(tmp_path / "nowhere")
    lay(tmp_path, {"data.json": CLASSES})
    with pytest.raises(InputError, match="is a file; name the folder"):
        read_folder(tmp_path / "data.json")


def test_a_split_without_boxes_is_an_error(tmp_path: Path) -> None:
    root = lay(tmp_path, {"data.yaml": CLASSES, **yolo("train", "a b"), **pictures("val/images", "c")})
    found = {finding.kind: finding for finding in read_folder(root).findings}
    assert found["no-box"].level == "error"
    assert found["no-box"].where == "val"


def test_sizes_are_those_of_the_displayed_image(tmp_path: Path) -> None:
    turned = {"images/a.jpg": picture(orientation=6), "images/b.jpg": PICTURE}
    root = lay(tmp_path, {"data.yaml": CLASSES, **turned, **labels("labels", "a b")})
    sizes = {
        image["file_name"]: (image["width"], image["height"])
        for split in read_folder(root).splits.values()
        for image in split.content["images"]
    }
    assert sizes == {"images/a.jpg": (20, 40), "images/b.jpg": (40, 20)}


def test_the_rows_of_the_table(tmp_path: Path) -> None:
    files = {"train.json": coco("a b", boxes=(BOX, BOX)), "val.json": coco("c"), **pictures("images", "a b c d")}
    files["val.json"]["images"].append({"id": 9, "file_name": "d.jpg", "width": 40, "height": 20})
    rows = summary_rows(read_folder(lay(tmp_path, files)))
    assert rows == [("train", 2, 0, 4, "train.json"), ("val", 2, 1, 1, "val.json")]


@pytest.mark.skipif(not SHARED.is_dir(), reason="real sets are not at ../shared/data")
def test_real_sets(tmp_path: Path) -> None:
    cells = read_folder(SHARED / "bccd")
    assert [row[1:4] for row in summary_rows(cells)] == [(205, 0, 2804), (87, 0, 1137), (72, 0, 945)]
    assert {(f.kind, Path(f.where).stem) for f in cells.findings} == {
        ("no-area", "BloodImage_00338"),
        ("no-area", "BloodImage_00343"),
    }
    fish = read_folder(SHARED / "aquarium")
    check_records(fish)
    rows = summary_rows(fish)
    assert [row[1] for row in rows] == [448, 127, 63]
    assert sum(row[3] for row in rows) + sum(finding.kind == "no-area" for finding in fish.findings) == 4817
    # the same set as an annotation file of each split
    for name, split in fish.splits.items():
        path = tmp_path / ("valid" if name == "val" else name)
        path.mkdir()
        for image in split.content["images"]:
            there = split.image_root / image["file_name"]
            image["file_name"] = there.name
            (path / there.name).symlink_to(there)
        (path / "_annotations.coco.json").write_text(json.dumps(split.content))
        assert len(COCO(str(path / "_annotations.coco.json")).imgs) == len(split.content["images"])
    again = read_folder(tmp_path)
    assert again.findings == ()
    assert {name: split.content for name, split in again.splits.items()} == {
        name: split.content for name, split in fish.splits.items()
    }
    assert all(split.annotation_file is not None for split in again.splits.values())
