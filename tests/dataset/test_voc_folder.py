"""Pascal VOC's files as they lie: what is said of lists, images and objects that cannot be used."""

import re
from pathlib import Path

import cv2
import pytest
from references.own_data import PICTURE, lay, picture, pictures, voc

from lors_det.data.folder import read_folder
from lors_det.data.record import DataFolder
from lors_det.data.voc.convert import convert_voc
from lors_det.errors import InputError

DOG = ("dog", 5, 3, 15, 11)


def read(root: Path, **files: bytes | str) -> DataFolder:
    xmls = {f"Annotations/{name}.xml": voc(DOG) for name in "abc"}
    return read_folder(lay(root, {**xmls, **pictures("JPEGImages", "a b c"), **files}))


def kinds(folder: DataFolder) -> list[tuple[str, str, str]]:
    return [(finding.kind, finding.level, finding.where) for finding in folder.findings]


def test_the_record_is_that_of_the_converter(tmp_path: Path) -> None:
    lists = {"ImageSets/Main/train.txt": "b\na", "ImageSets/Main/val.txt": "c"}
    difficult = voc(DOG, ("cat", 0.5, 2, 41, 9)).replace("</name>", "</name><difficult>1</difficult>", 1)
    folder = read(tmp_path, **lists, **{"Annotations/a.xml": difficult})
    for name, split in folder.splits.items():
        converted, _ = convert_voc(tmp_path, name)
        images = [{**image, "file_name": f"JPEGImages/{image['file_name']}"} for image in converted["images"]]
        named = [{**each, "stated_as": ""} for each in converted["annotations"]]
        found = [{**each, "stated_as": ""} for each in split.content["annotations"]]
        assert (split.content["categories"], split.content["images"]) == (converted["categories"], images)
        assert found == named
        assert split.source == f"ImageSets/Main/{name}.txt"
    assert [a["iscrowd"] for a in folder.splits["train"].content["annotations"]] == [0, 1, 0]


def test_boxes_are_named_as_their_file_states_them(tmp_path: Path) -> None:
    """Counted from 1, as there; not as the record has them."""
    folder = read(tmp_path, **{"Annotations/a.xml": voc(DOG, ("dog", 7, 5, 7, 9.5))})
    (finding,) = folder.findings
    assert finding.what == "a box of dog (7, 5, 7, 9.5) has no area and is left out"
    stated = {a["stated_as"] for split in folder.splits.values() for a in split.content["annotations"]}
    assert stated == {"dog (5, 3, 15, 11)"}


def test_a_namespace_is_no_obstacle(tmp_path: Path) -> None:
    lists = {"ImageSets/Main/train.txt": "a\nb", "ImageSets/Main/val.txt": "c"}
    plain, named = (tmp_path / name for name in ("plain", "named"))
    xml = voc(DOG).replace("<annotation>", '<annotation xmlns="http://example.org/voc">')
    assert "xmlns" in xml
    expected, found = read(plain, **lists), read(named, **lists, **{"Annotations/a.xml": xml})
    assert not found.findings
    assert [split.content for split in found.splits.values()] == [split.content for split in expected.splits.values()]
    assert convert_voc(named, "train")[0] == convert_voc(plain, "train")[0]


def test_images_in_no_list_of_a_split_are_told_with_classes_of_theirs_alone(tmp_path: Path) -> None:
    lists = {"ImageSets/Main/train.txt": "a", "ImageSets/Main/val.txt": "b", "ImageSets/Main/extra.txt": "c"}
    folder = read(tmp_path, **lists, **{"Annotations/c.xml": voc(DOG, ("cat", 5, 3, 15, 11))})
    (finding,) = folder.findings
    assert (finding.kind, finding.level) == ("unlisted", "note")
    assert finding.what == "1 annotated image is in no list of train, val or test, and cat in none but it: not used"
    assert folder.classes == ("dog",)


def test_objects_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    xml = voc(DOG, ("dog", 7, 5, 7, 9), ("dog", 30, 5, 60, 9), ("dog", 50, 5, 60, 9), ("dog", 1, 1, 9))
    folder = read(tmp_path, **{"Annotations/a.xml": xml})
    image, label = "JPEGImages/a.jpg", "Annotations/a.xml"
    assert sorted(kinds(folder)) == [
        ("clipped", "warning", image),
        ("malformed-box", "warning", label),
        ("no-area", "warning", image),
        ("outside", "warning", image),
    ]
    boxes = [a["bbox"] for split in folder.splits.values() for a in split.content["annotations"]]
    assert sorted(boxes) == [[4, 2, 10, 8]] * 3 + [[29, 4, 11, 4]]


def test_files_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    files = {"Annotations/torn.xml": "<annotation>", "Annotations/lost.xml": voc(DOG), **pictures("JPEGImages", "torn")}
    folder = read(tmp_path, **files)
    assert sorted(kinds(folder)) == [
        ("malformed-file", "warning", "Annotations/torn.xml"),
        ("missing-image", "warning", "Annotations/lost.xml"),
        ("no-label", "note", tmp_path.name),
    ]


def test_lines_of_lists_that_lead_nowhere(tmp_path: Path) -> None:
    lists = {"ImageSets/Main/train.txt": "a\nb\nb\nnowhere\n", "ImageSets/Main/val.txt": "gone"}
    folder = read(tmp_path, **lists)
    assert sorted(kinds(folder)) == [
        ("listed-twice", "warning", "ImageSets/Main/train.txt, line 3"),
        ("missing-label", "warning", "ImageSets/Main/train.txt, line 4"),
        ("missing-label", "warning", "ImageSets/Main/val.txt, line 1"),
        ("no-image", "error", "ImageSets/Main/val.txt"),
        ("unlisted", "note", tmp_path.name),
    ]


def test_sizes_that_are_not_stated_are_read(tmp_path: Path) -> None:
    files = {"Annotations/a.xml": voc(DOG, size=None), "Annotations/b.xml": voc(DOG, size=(0, 0))}
    folder = read(tmp_path, **files)
    assert [kind for kind, *_ in kinds(folder)] == ["no-size"]
    sizes = {(i["width"], i["height"]) for split in folder.splits.values() for i in split.content["images"]}
    assert sizes == {(40, 20)}


@pytest.mark.parametrize(
    ("corners", "words", "boxes"),
    [
        ([(0, 3, 15, 11), (5, 0, 9, 9)], "2 boxes .* have a corner of 0, 0 of 1: .* from 0", {(0, 3), (5, 0)}),
        ([(0, 3, 15, 11), (1, 3, 9, 9)], "1 box .* has a corner of 0, 1 of 1: .* from 1", {(0, 2)}),
    ],
)
def test_pixels_count_from_0_where_more_boxes_begin_there_than_at_1(
    corners: list[tuple[int, int, int, int]], words: str, boxes: set[tuple[float, float]], tmp_path: Path
) -> None:
    """And for every split: where one begins says it of all."""
    files: dict[str, bytes | str] = {f"{split}/{split}.jpg": PICTURE for split in ("train", "val")}
    files["train/train.xml"] = voc(*(("dog", *each) for each in corners))
    files["val/val.xml"] = voc(("dog", 20, 10, 30, 19))
    folder = read_folder(lay(tmp_path, files))
    (finding,) = (each for each in folder.findings if each.kind == "zero-based")
    assert finding.level == "note"
    assert re.search(words, finding.what)
    found = {tuple(a["bbox"][:2]) for a in folder.splits["train"].content["annotations"]}
    assert boxes <= found
    first = 0 if "from 0" in words else 1
    assert folder.splits["val"].content["annotations"][0]["bbox"][:2] == [20 - first, 10 - first]


def test_an_image_is_the_nearest_of_its_name(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {}
    for split in ("train", "val"):
        files |= {**pictures(f"{split}/images", "a b"), f"{split}/xml/a.xml": voc(DOG), f"{split}/xml/b.xml": voc(DOG)}
    files |= {"train/xml/odd.xml": voc(DOG, filename="C:\\x\\even.jpg"), **pictures("train/images", "even")}
    folder = read_folder(lay(tmp_path, files))
    assert folder.findings == ()
    names = {name: [i["file_name"] for i in split.content["images"]] for name, split in folder.splits.items()}
    assert names == {
        "train": ["train/images/a.jpg", "train/images/b.jpg", "train/images/even.jpg"],
        "val": ["val/images/a.jpg", "val/images/b.jpg"],
    }


@pytest.mark.parametrize(
    ("xmls", "images"),
    [
        ("annotations_{}", "images_{}"),
        ("{}_xml", "{}_images"),
        ("xml/{}", "img/{}"),
        ("{}_xml", "deep/er/my_{}_photos"),
    ],
)
@pytest.mark.parametrize("below", ["", "set/"])
def test_an_image_is_of_the_split_of_its_file(xmls: str, images: str, below: str, tmp_path: Path) -> None:
    """Both splits number theirs from 0; those of val are wide."""
    files: dict[str, bytes | str] = {}
    for split, size, names in (("train", (40, 20), "012"), ("val", (80, 30), "01")):
        for name in names:
            files[f"{below}{xmls.format(split)}/{name}.xml"] = voc(DOG, size=size)
            files[f"{below}{images.format(split)}/{name}.jpg"] = picture(size)
    folder = read_folder(lay(tmp_path, files))
    assert folder.findings == ()
    assert {name: len(split.content["images"]) for name, split in folder.splits.items()} == {"train": 3, "val": 2}
    for split in folder.splits.values():
        for image in split.content["images"]:
            height, width = cv2.imread(str(split.image_root / image["file_name"])).shape[:2]
            assert (image["width"], image["height"]) == (width, height)


def test_a_nearer_image_of_another_split_is_not_meant(tmp_path: Path) -> None:
    files = {"val_xml/0.xml": voc(DOG), "train_xml/0.xml": voc(DOG)}
    images = {"train_images/0.jpg": PICTURE, "data/more/val_images/0.jpg": PICTURE}
    splits = read_folder(lay(tmp_path, {**files, **images})).splits
    names = {name: split.content["images"][0]["file_name"] for name, split in splits.items()}
    assert names == {"train": "train_images/0.jpg", "val": "data/more/val_images/0.jpg"}


def test_an_image_that_may_be_either_of_two_is_not_guessed(tmp_path: Path) -> None:
    either = {"left/a.jpg": PICTURE, "right/a.jpg": picture((30, 20))}
    files = {**{f"Annotations/{name}.xml": voc(DOG) for name in "abc"}, **pictures("left", "b c")}
    folder = read_folder(lay(tmp_path / "one", {**files, **either}))
    assert kinds(folder) == [("label-of-two-images", "error", "Annotations/a.xml")]
    assert "2 images (left/a.jpg, right/a.jpg)" in folder.findings[0].what
    names = {image["file_name"] for split in folder.splits.values() for image in split.content["images"]}
    assert names == {"left/b.jpg", "left/c.jpg"}  # it is no image without objects either
    with pytest.raises(
        InputError, match=r"none of the XML files .* has an image there \(Annotations/a.xml: may describe"
    ):
        read_folder(lay(tmp_path / "all", {"Annotations/a.xml": voc(DOG), **either}))


def test_copies_of_an_image_are_no_doubt(tmp_path: Path) -> None:
    xmls = {f"Annotations/{name}.xml": voc(DOG) for name in "ab"}
    folder = read_folder(lay(tmp_path, {**xmls, **pictures("left", "a b"), **pictures("right", "a b")}))
    assert folder.findings == ()


def test_several_years_are_one_set(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {}
    for year, names in (("VOC2007", "ab"), ("VOC2012", "cd")):
        files |= {f"{year}/Annotations/{name}.xml": voc(DOG) for name in names}
        files |= pictures(f"{year}/JPEGImages", " ".join(names))
        files |= {f"{year}/ImageSets/Main/train.txt": names[0], f"{year}/ImageSets/Main/val.txt": names[1]}
    splits = read_folder(lay(tmp_path, files)).splits
    names = {name: [Path(i["file_name"]).stem for i in split.content["images"]] for name, split in splits.items()}
    assert names == {"train": ["a", "c"], "val": ["b", "d"]}
    assert splits["train"].source == "VOC2007/ImageSets/Main/train.txt, VOC2012/ImageSets/Main/train.txt"


def test_nothing_to_find_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has an <object>"):
        read_folder(lay(tmp_path / "a", {"a.xml": voc(), "b.xml": voc(), **pictures("", "a b")}))
    with pytest.raises(InputError, match=r"none of the XML files of .* has an image there"):
        read_folder(lay(tmp_path / "b", {"a.xml": voc(DOG)}))


def in_folders(*folders: str) -> dict[str, bytes | str]:
    """Images a and b in each folder, the number of whose objects tells which it is."""
    files: dict[str, bytes | str] = {}
    for number, name in enumerate(folders, start=1):
        files |= {f"Annotations/{name}/{stem}.xml": voc(*[DOG] * number) for stem in "ab"}
        files |= pictures(f"JPEGImages/{name}", "a b")
    return files


@pytest.mark.parametrize("form", ["{}/{}", "./{}/{}.xml", "JPEGImages/{}/{}.jpg", "D:\\set\\{}\\{}.jpg", "{}/{} 1"])
def test_lists_tell_images_of_the_same_name_apart_by_their_folders(form: str, tmp_path: Path) -> None:
    lists = {
        f"ImageSets/Main/{split}.txt": "\n".join(form.format(folder, stem) for stem in "ab")
        for split, folder in (("train", "one"), ("val", "two"))
    }
    folder = read_folder(lay(tmp_path, {**in_folders("one", "two"), **lists}))
    assert folder.findings == ()
    for split, inner, objects in (("train", "one", 1), ("val", "two", 2)):
        content = folder.splits[split].content
        assert [image["file_name"] for image in content["images"]] == [f"JPEGImages/{inner}/{n}.jpg" for n in "ab"]
        assert len(content["annotations"]) == 2 * objects


def test_a_line_that_may_be_either_of_two_files_is_not_guessed(tmp_path: Path) -> None:
    lists = {"ImageSets/Main/train.txt": "one/a\none/b\ntwo/b", "ImageSets/Main/val.txt": "a\ntwo/a"}
    folder = read_folder(lay(tmp_path, {**in_folders("one", "two"), **lists}))
    assert kinds(folder) == [("ambiguous-line", "error", "ImageSets/Main/val.txt, line 1")]
    assert {name: len(split.content["images"]) for name, split in folder.splits.items()} == {"train": 3, "val": 1}


def test_a_line_that_names_a_folder_means_no_image_of_another(tmp_path: Path) -> None:
    lists = {"ImageSets/Main/train.txt": "ImageSets/a", "ImageSets/Main/val.txt": "one/b\ntwo/a"}
    stray = {"ImageSets/preview.jpg": PICTURE}
    folder = read_folder(lay(tmp_path, {**in_folders("one"), **pictures("JPEGImages/two", "a b"), **lists, **stray}))
    assert ("missing-label", "warning", "ImageSets/Main/val.txt, line 2") in kinds(folder)
    named = {name: [image["file_name"] for image in split.content["images"]] for name, split in folder.splits.items()}
    assert named == {"train": ["JPEGImages/one/a.jpg"], "val": ["JPEGImages/one/b.jpg"]}


def test_lists_in_utf16(tmp_path: Path) -> None:
    lists = {"ImageSets/Main/train.txt": "a\r\nb\r\n".encode("utf-16"), "ImageSets/Main/val.txt": "c".encode("utf-16")}
    folder = read(tmp_path, **lists)
    assert folder.findings == ()
    assert {name: len(split.content["images"]) for name, split in folder.splits.items()} == {"train": 2, "val": 1}


def test_folders_of_images_tell_the_splits_of_xml_files_in_one_folder(tmp_path: Path) -> None:
    xmls = {f"annotations/{name}.xml": voc(DOG) for name in "abcd"}
    places = {**pictures("images/train", "a b"), **pictures("images/val", "c"), **pictures("images/test", "d")}
    folder = read_folder(lay(tmp_path, {**xmls, **places}))
    assert {name: (len(split.content["images"]), split.source) for name, split in folder.splits.items()} == {
        "train": (2, "images/train"),
        "val": (1, "images/val"),
        "test": (1, "images/test"),
    }


@pytest.mark.parametrize("encoding", ["gbk", "big5", "utf-16"])
def test_files_are_read_by_the_encoding_that_they_state(encoding: str, tmp_path: Path) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n' + voc(("\u72d7", 5, 3, 15, 11))
    folder = read(tmp_path, **{"Annotations/a.xml": text.encode(encoding)})
    assert folder.findings == ()
    assert folder.classes == ("dog", "\u72d7")


@pytest.mark.parametrize("encoding", ["cp9999", "hex", "gbk"])
def test_an_encoding_by_which_a_file_is_not_read_is_told(encoding: str, tmp_path: Path) -> None:
    text = voc(("caf\xe9", 5, 3, 15, 11))
    content = f'<?xml version="1.0" encoding="{encoding}"?>\n{text}'.encode("latin-1")
    folder = read(tmp_path, **{"Annotations/a.xml": content})
    (finding,) = (each for each in folder.findings if each.kind == "malformed-file")
    assert (finding.where, finding.level) == ("Annotations/a.xml", "warning")
    assert f"encoding {encoding}" in finding.what


def test_a_list_of_another_encoding_is_named_by_the_converter(tmp_path: Path) -> None:
    lists = {"ImageSets/Main/train.txt": "caf\xe9".encode("latin-1")}
    lay(tmp_path, {"Annotations/a.xml": voc(DOG), **pictures("JPEGImages", "a"), **lists})
    with pytest.raises(InputError, match=r"train\.txt is no text in UTF-8"):
        convert_voc(tmp_path, "train")
