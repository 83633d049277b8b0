"""Pascal VOC to COCO: coordinates, blemishes, errors; on a tiny set and on a real one where it is present."""

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from lors_det.data.voc.convert import Dropped, convert_voc
from lors_det.data.voc.xml import object_of

REPOSITORY = Path(__file__).parents[2]
TOOL = REPOSITORY / "tools" / "voc_to_coco.py"


def thing(name: str, *corners: float, difficult: int | str | None = 0) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{n}>{value}</{n}>" for n, value in zip(names, corners))
    mark = "" if difficult is None else f"<difficult>{difficult}</difficult>"
    # A part has a box of its own, which is none of the object's.
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    return f"<object>{part}<name>{name}</name>{mark}<bndbox>{box}</bndbox></object>"


class VocSet:
    """A set under construction: 100 x 80 px images without content."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
            (root / folder).mkdir(parents=True)

    def split(self, name: str, lines: Sequence[str]) -> None:
        (self.root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(lines) + "\n")

    def image(self, stem: str, *objects: str) -> None:
        (self.root / "JPEGImages" / f"{stem}.jpg").write_bytes(b"")
        size = "<size><width>100</width><height>80</height></size>"
        xml = self.root / "Annotations" / f"{stem}.xml"
        xml.write_text(f"<annotation>{size}{''.join(objects)}</annotation>")


@pytest.fixture
def voc(tmp_path: Path) -> VocSet:
    made = VocSet(tmp_path / "voc")
    made.split("train", ["a", "b"])
    made.split("val", ["c"])
    made.image("a", thing("dog", 11, 21, 31, 61), thing("cat", 1.5, 2.25, 10.75, 20))
    made.image("b", thing("dog", 5, 5, 50, 50, difficult=1), thing("dog", 7, 9, 7, 30))
    made.image("c", thing("ant", 1, 1, 100, 80, difficult=None))
    return made


def boxes(coco: dict[str, Any]) -> list[list[float]]:
    return [annotation["bbox"] for annotation in coco["annotations"]]


def test_coordinates_follow_the_convention(voc: VocSet) -> None:
    coco, _ = convert_voc(voc.root, "train")
    measured = [(*a["bbox"], a["area"]) for a in coco["annotations"]]
    assert measured[:2] == [(10, 20, 20, 40, 800), (0.5, 1.25, 9.25, 17.75, 9.25 * 17.75)]
    assert coco["images"][0] == {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}
    assert [(a["id"], a["image_id"]) for a in coco["annotations"]] == [(1, 1), (2, 1), (3, 2)]


def test_every_split_gets_the_same_categories(voc: VocSet) -> None:
    expected = [{"id": 1, "name": "ant"}, {"id": 2, "name": "cat"}, {"id": 3, "name": "dog"}]
    assert [convert_voc(voc.root, split)[0]["categories"] for split in ("train", "val")] == [expected] * 2
    coco, _ = convert_voc(voc.root, "train", classes=["dog", "cat"])
    assert [c["name"] for c in coco["categories"]] == ["dog", "cat"]
    assert [a["category_id"] for a in coco["annotations"]] == [1, 2, 1]


def test_boxes_without_area_are_dropped_and_named(voc: VocSet) -> None:
    voc.image("c", thing("ant", 30, 20, 10, 40), thing("ant", 102, 5, 130, 30), thing("ant", 2, 2, 4, 4))
    assert convert_voc(voc.root, "train")[1] == [Dropped("b.jpg", "dog", (7, 9, 7, 30), "no area")]
    coco, dropped = convert_voc(voc.root, "val")
    assert (boxes(coco), len(dropped)) == ([[1, 1, 2, 2]], 2)


def test_boxes_that_stick_out_are_clipped_and_named(voc: VocSet) -> None:
    voc.image("c", thing("ant", 0, 11, 31, 100), thing("ant", 91, 71, 101, 81), thing("ant", 1, 1, 100, 80))
    coco, dropped = convert_voc(voc.root, "val")
    assert (boxes(coco), dropped) == ([[0, 10, 30, 70], [90, 70, 10, 10], [0, 0, 99, 79]], [])
    assert coco["info"]["clipped"] == [{"image": "c.jpg", "class": "ant", "corners": [0, 11, 31, 100]}]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("False", False), ("Unspecified", False), (" 0 ", False), ("", False), ("TRUE", True), ("1", True)],
)
def test_tools_spell_difficult_in_several_ways(word, expected) -> None:
    node = ElementTree.fromstring(thing("dog", 5, 5, 50, 50, difficult=word))
    assert object_of(node, Path("a.xml")).difficult is expected


def test_difficult_objects(voc: VocSet) -> None:
    assert [a["iscrowd"] for a in convert_voc(voc.root, "train")[0]["annotations"]] == [0, 0, 1]
    kept, _ = convert_voc(voc.root, "train", difficult="keep")
    assert [a["iscrowd"] for a in kept["annotations"]] == [0, 0, 0]
    fewer, dropped = convert_voc(voc.root, "train", difficult="drop")
    reported = Dropped("b.jpg", "dog", (5, 5, 50, 50), "difficult")
    assert (boxes(fewer), dropped[0]) == (boxes(kept)[:2], reported)
    with pytest.raises(ValueError, match="difficult is 'ignore', it must be one of crowd, keep, drop"):
        convert_voc(voc.root, "train", difficult="ignore")


def test_class_wise_lists_blanks_in_names_and_other_suffixes(voc: VocSet) -> None:
    voc.split("dog_train", ["a -1", "b  1", "", "old 1"])
    voc.image("old 1")
    (voc.root / "JPEGImages" / "b.jpg").rename(voc.root / "JPEGImages" / "b.PNG")
    images = convert_voc(voc.root, "dog_train")[0]["images"]
    assert [image["file_name"] for image in images] == ["a.jpg", "b.PNG", "old 1.jpg"]


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<annotation>\n<size>\n</annotation>", r"c\.xml, line 3, column \d+: malformed XML"),
        ("<annotation></annotation>", r"c\.xml: <annotation> has no <size/width>"),
        ("<a><size><width>9.5</width><height>0</height></size></a>", r"c\.xml: <size> is 9\.5 x 0"),
        ("<a><size><width>nan</width></size></a>", r"c\.xml: <size/width> is 'nan'"),
    ],
)
def test_bad_files_are_named(voc: VocSet, xml: str, message: str) -> None:
    (voc.root / "Annotations" / "c.xml").write_text(xml)
    with pytest.raises(ValueError, match=message):
        convert_voc(voc.root, "val", classes=["ant"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (thing("gnu", 1, 1, 9, 9), r"c\.xml: class 'gnu' is unknown, allowed: ant"),
        (thing("ant", 1, 1, 9), r"c\.xml: <object> has no <bndbox/ymax>"),
        (thing("ant", 1, 1, 9, "x9"), r"c\.xml: <bndbox/ymax> is 'x9', it must be a finite number"),
        (thing("ant", 1, 1, 9, 9, difficult=3), r"c\.xml: <difficult> is '3', it must be 0 or 1"),
    ],
)
def test_bad_objects_are_named(voc: VocSet, content: str, message: str) -> None:
    voc.image("c", content)
    with pytest.raises(ValueError, match=message):
        convert_voc(voc.root, "val", classes=["ant"])


def test_missing_files_and_bad_lists_are_named(voc: VocSet) -> None:
    with pytest.raises(FileNotFoundError, match=r"test\.txt is missing; splits that exist: train, val"):
        convert_voc(voc.root, "test")
    voc.split("empty", ["", " "])
    with pytest.raises(ValueError, match=r"empty\.txt lists no image"):
        convert_voc(voc.root, "empty")
    voc.split("twice", ["a", "b", "a"])
    with pytest.raises(ValueError, match=r"twice\.txt lists a more than once"):
        convert_voc(voc.root, "twice")
    with pytest.raises(ValueError, match=r"classes are .*each once"):
        convert_voc(voc.root, "train", classes=["dog", "dog"])
    (voc.root / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"no image .*JPEGImages.a\.\*"):
        convert_voc(voc.root, "train")
    (voc.root / "Annotations" / "c.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"c\.xml is missing; add it or take c out of .*val\.txt"):
        convert_voc(voc.root, "val")


@pytest.mark.parametrize("part", ["Annotations", "ImageSets/Main", "JPEGImages"])
def test_a_missing_folder_is_named(voc: VocSet, part: str) -> None:
    shutil.move(voc.root / part, voc.root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"is no Pascal VOC set: \S+voc.{part} is missing; a set holds"):
        convert_voc(voc.root, "train")
    with pytest.raises(FileNotFoundError, match=r"voc.nowhere.Annotations, .*nowhere.JPEGImages are missing"):
        convert_voc(voc.root / "nowhere", "train", classes=["dog"])


def test_annotations_without_an_object_are_named(voc: VocSet) -> None:
    for stem in "abc":
        voc.image(stem)
    with pytest.raises(ValueError, match=r"no file of .*Annotations .* has an <object> to tell the classes"):
        convert_voc(voc.root, "train")
    assert convert_voc(voc.root, "train", classes=["dog"])[0]["annotations"] == []


def run_tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True)


def test_tool_writes_and_reports(voc: VocSet, tmp_path: Path) -> None:
    result = run_tool(voc.root, out := tmp_path / "made" / "train.json", "--split", "train")
    dropped = "dropped (no area): b.jpg dog (7.0, 9.0, 7.0, 30.0)"
    assert result.stdout == f"{out}: 2 images; boxes: ant 0, cat 1, dog 2\n{dropped}\n", result.stderr
    assert json.loads(out.read_text()) == convert_voc(voc.root, "train")[0]
    assert list(out.parent.iterdir()) == [out]  # no temporary file


def test_tool_names_sizes_that_differ_and_sets_counted_from_0(voc: VocSet, tmp_path: Path) -> None:
    voc.image("c", thing("ant", 0, 1, 100, 80), thing("ant", 0, 5, 9, 9), thing("ant", 1, 5, 9, 9))
    cv2.imwrite(str(voc.root / "JPEGImages" / "c.jpg"), np.zeros((40, 50, 3), np.uint8))
    result = run_tool(voc.root, out := tmp_path / "val.json", "--split", "val")
    differs, counted = result.stdout.splitlines()[-2:]
    assert differs.startswith("size differs: c.jpg has 50 x 40 pixels, and its XML file says 100 x 80, which is kept")
    assert counted.startswith("counted from 0? 2 boxes at the left or upper edge have a corner of 0, 1 of 1;")
    coco = json.loads(out.read_text())
    assert [(image["width"], image["height"]) for image in coco["images"]] == [(100, 80)]


def test_tool_writes_over_no_photograph(voc: VocSet, tmp_path: Path) -> None:
    photograph = voc.root / "JPEGImages" / "a.jpg"
    photograph.write_bytes(b"pixels")
    (tmp_path / "file").write_text("")
    for out, words in (
        (photograph, "must end in .json"),
        (tmp_path / "new" / "a.jpg", "must end in .json"),
        (tmp_path / "file" / "a.json", "is a file; name a folder"),
    ):
        result = run_tool(voc.root, out, "--split", "train")
        assert result.returncode == 2
        assert words in result.stderr
    assert photograph.read_bytes() == b"pixels"
    assert not (tmp_path / "new").exists()


def test_tool_reports_user_errors_and_keeps_the_old_file(voc: VocSet, tmp_path: Path) -> None:
    out = tmp_path / "val.json"
    out.write_text("old")
    result = run_tool(voc.root, out, "--split", "val", "--classes", "dog")
    assert (result.returncode, out.read_text()) == (2, "old")
    xml = voc.root / "Annotations" / "c.xml"
    assert (
        result.stderr == f"error: {xml}: class 'ant' is unknown, allowed: dog; name all classes of the set, or none\n"
    )


def test_blood_cells(bccd: Path, tmp_path: Path) -> None:
    counts, lost = Counter(), []
    for split, num_images in (("train", 205), ("val", 87), ("test", 72)):
        coco, dropped = convert_voc(bccd, split)
        (tmp_path / "set.json").write_text(json.dumps(coco))
        loaded = COCO(str(tmp_path / "set.json"))
        names = {index: category["name"] for index, category in loaded.cats.items()}
        assert (len(loaded.imgs), names) == (num_images, {1: "Platelets", 2: "RBC", 3: "WBC"})
        assert all((bccd / "JPEGImages" / image["file_name"]).is_file() for image in coco["images"])
        assert coco["info"]["clipped"] == []
        counts.update(names[a["category_id"]] for a in coco["annotations"])
        lost += dropped
    assert lost == [
        Dropped("BloodImage_00343.jpg", "RBC", (181, 329, 181, 329), "no area"),
        Dropped("BloodImage_00338.jpg", "RBC", (504, 337, 504, 337), "no area"),
    ]
    assert counts == {"RBC": 4155 - len(lost), "WBC": 372, "Platelets": 361}
