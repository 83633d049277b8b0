"""YOLO's labels and YAML files: what is read, and what is said of lines and files that cannot be."""

from pathlib import Path

import pytest
from references.own_data import PICTURE, lay, picture, pictures

from lors_det.data.folder import read_folder
from lors_det.data.record import DataFolder, Finding
from lors_det.data.yolo.labels import LineError, parse_line
from lors_det.errors import InputError

GOOD = "0 .5 .5 .5 .5\n"
YAML_OF_LISTS = "names: [cat, dog]\ntrain: train.txt\nval: val.txt"


def read(root: Path, labels: dict[str, str], **more: bytes | str) -> DataFolder:
    """A set of the images a to f, of which all but those in `labels` have one good box."""
    texts = {f"labels/{name}.txt": labels.get(name, GOOD) for name in "abcdef"}
    yaml = {"data.yaml": "names: [cat, dog]\n"}
    return read_folder(lay(root, {**yaml, **pictures("images", "a b c d e f"), **texts, **more}))


def boxes(folder: DataFolder, stem: str) -> list[list[float]]:
    """Boxes of an image in pixels."""
    found = []
    for split in folder.splits.values():
        ids = {image["id"] for image in split.content["images"] if Path(image["file_name"]).stem == stem}
        found += [annotation["bbox"] for annotation in split.content["annotations"] if annotation["image_id"] in ids]
    return found


def only(folder: DataFolder) -> Finding:
    """The one finding."""
    assert len(folder.findings) == 1, folder.findings
    return folder.findings[0]


@pytest.mark.parametrize(
    ("line", "corners"),
    [
        ("1 .5 .4 .2 .4", (0.4, 0.2, 0.6, 0.6)),
        ("1.0\t0.5  0.4 0.2 4e-1", (0.4, 0.2, 0.6, 0.6)),
        ("1 .1 .2 .5 .1 .4 .9", (0.1, 0.1, 0.5, 0.9)),
        ("1 .1 .2 .5 .2 .5 .9 .1 .9", (0.1, 0.2, 0.5, 0.9)),
    ],
)
def test_lines(line: str, corners: tuple[float, ...]) -> None:
    found = parse_line(line, num_classes=2)
    assert found.class_id == 1
    assert found[1:5] == pytest.approx(corners)
    assert found.outlined == (len(line.split()) > 5)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("0 .5 .5 .5", "malformed-line", "4 values"),
        ("0 .5 .5 .5 .5 .9 .5 .5", "malformed-line", "8 values"),
        ("cat .5 .5 .5 .5", "malformed-line", "finite numbers"),
        ("0 .5 nan .5 .5", "malformed-line", "finite numbers"),
        ("0 .5 .5 .5 .5 .87", "predictions", "a prediction's"),
        ("2 .5 .5 .5 .5", "class-range", "the class is 2; class ids are 0 to 1"),
        ("-1 .5 .5 .5 .5", "class-range", "the class is -1"),
        ("0.5 .5 .5 .5 .5", "class-range", "the class is 0.5"),
        ("0 20 .5 .5 .5", "not-normalised", "20 is no fraction"),
        ("0 .5 .5 .5 -.1", "not-normalised", "-0.1 is no fraction"),
    ],
)
def test_lines_that_cannot_be_used(line: str, kind: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(LineError, match=words) as caught:
        parse_line(line, num_classes=2)
    assert caught.value.kind == kind
    # the rest of the file is read, and the line named
    folder = read(tmp_path, {"b": GOOD * 20 + f"\n{line}\n" + GOOD})
    assert (only(folder).kind, only(folder).where) == (kind, "labels/b.txt, line 22")
    assert len(boxes(folder, "b")) == 21
    assert only(folder).level == ("error" if kind in ("predictions", "class-range") else "warning")


def test_many_lines_of_another_form_are_an_error(tmp_path: Path) -> None:
    folder = read(tmp_path, dict.fromkeys("abc", "0 12 8 10 10\n"))
    assert [finding.level for finding in folder.findings] == ["warning"] * 3 + ["error"]
    assert "3 of 6 lines" in folder.findings[-1].what


def test_boxes_are_pixels_and_stay_in_the_image(tmp_path: Path) -> None:
    labels = {"a": "0 .25 .5 .25 .5", "b": "0 0 .5 .5 1", "c": "0 .5 .5 0 .5\n0 .5 .5 .1 .1", "d": "1 .5 .5 1.002 1"}
    folder = read(tmp_path, labels)
    assert boxes(folder, "a") == [[5, 5, 10, 10]]
    assert boxes(folder, "b") == [[0, 0, 10, 20]]
    assert boxes(folder, "c") == [pytest.approx([18, 9, 4, 2])]
    assert boxes(folder, "d") == [[0, 0, 40, 20]]  # rounding, of which nothing is said
    found = {(finding.kind, finding.where) for finding in folder.findings}
    assert found == {("clipped", "images/b.jpg"), ("no-area", "images/c.jpg")}


def test_outlines_are_told_once(tmp_path: Path) -> None:
    folder = read(tmp_path, dict.fromkeys("abcdef", "0 .1 .1 .5 .1 .5 .5\n"))
    assert (only(folder).kind, only(folder).level) == ("outlines", "note")
    assert "6 of 6 objects" in only(folder).what
    assert boxes(folder, "a") == [pytest.approx([4, 2, 16, 8])]


def test_keypoints_are_left_out(tmp_path: Path) -> None:
    yaml = "names: [cat, dog]\nkpt_shape: [2, 2]\n"
    folder = read(tmp_path, dict.fromkeys("abcdef", "0 .5 .5 .5 .5 .1 .1 .2 .2\n"), **{"data.yaml": yaml})
    assert folder.findings == ()
    assert boxes(folder, "a") == [[10, 5, 20, 10]]


def test_files_without_their_other_half(tmp_path: Path) -> None:
    files = {"images/extra.jpg": PICTURE, "labels/lost.txt": GOOD, "labels/classes.txt": "cat", "images/torn.jpg": b"x"}
    found = {finding.kind: finding for finding in read(tmp_path, {}, **files).findings}
    assert set(found) == {"no-label", "no-image-of-label", "unreadable-image"}
    assert found["no-label"].level == "note"
    assert "1 of 8 images has no label file (images/extra.jpg" in found["no-label"].what
    assert found["no-image-of-label"].where == "labels/lost.txt"
    assert found["unreadable-image"].where == "images/torn.jpg"


@pytest.mark.parametrize("elsewhere", ["images/{}.txt", "labels/images/{}.txt"])
def test_images_without_labels_where_those_of_others_lie_have_no_objects(tmp_path: Path, elsewhere: str) -> None:
    """Old labels beside the images, or those of a model, are none that the set has."""
    files = {"images/g.jpg": PICTURE, "images/h.jpg": PICTURE, **{elsewhere.format(stem): GOOD for stem in "agh"}}
    folder = read(tmp_path, {}, **files)
    assert boxes(folder, "g") == boxes(folder, "h") == []
    assert boxes(folder, "a") == [[10, 5, 20, 10]]
    found = {finding.kind: finding for finding in folder.findings}
    assert set(found) == {"no-label", "label-elsewhere"}
    assert found["label-elsewhere"].where == elsewhere.format("g")
    assert found["label-elsewhere"].what == "and 1 file more are not read: labels of images in images lie in labels"


def test_a_list_of_a_split_in_utf16(tmp_path: Path) -> None:
    lists = {"train.txt": "images/a.jpg\r\nimages/b.jpg".encode("utf-16"), "val.txt": "images/c.jpg".encode("utf-16")}
    texts = {f"labels/{stem}.txt": GOOD for stem in "abc"}
    folder = read_folder(lay(tmp_path, {**pictures("images", "a b c"), **texts, **lists, "classes.txt": "cat"}))
    assert {name: len(split.content["images"]) for name, split in folder.splits.items()} == {"train": 2, "val": 1}


def test_what_is_listed_and_not_read_is_left_out(tmp_path: Path) -> None:
    yaml = "names: [cat, dog]\ntrain: train.txt\nval: val.txt"
    files = {"train.txt": "images/a.jpg\nimages/g.gif", "val.txt": "images/c.jpg", "images/g.gif": b"GIF89a"}
    folder = read(tmp_path, {}, **files, **{"data.yaml": yaml})
    assert [image["file_name"] for image in folder.splits["train"].content["images"]] == ["images/a.jpg"]
    assert (only(folder).kind, only(folder).where) == ("unread-format", "train.txt")
    assert only(folder).what == "images/g.gif is of a format that is not read, and left out"


def test_labels_that_most_images_have_elsewhere_are_an_error(tmp_path: Path) -> None:
    """One text file in a likelier folder takes those of the others away; and an image that is in no list has no say."""
    beside = {f"images/{stem}.txt": GOOD for stem in "abcdef"}
    files = {**pictures("images", "a b c d e f"), **beside, "labels/a.txt": GOOD, "data.yaml": "names: [cat, dog]\n"}
    found = {finding.kind: finding.level for finding in read_folder(lay(tmp_path / "most", files)).findings}
    assert found["label-elsewhere"] == "error"
    lists = {"train.txt": "images/b.jpg\nimages/c.jpg\nimages/d.jpg", "val.txt": "images/e.jpg"}
    folder = read_folder(lay(tmp_path / "listed", {**files, **lists, "data.yaml": YAML_OF_LISTS}))
    assert folder.findings == ()
    assert boxes(folder, "b") == [[10, 5, 20, 10]]


def test_labels_of_other_images_are_not_called_unread(tmp_path: Path) -> None:
    """In labels lies what images in images have; those in extra have theirs beside them."""
    extra = {**pictures("extra", "a b"), "extra/b.txt": GOOD}
    folder = read(tmp_path, {}, **extra)
    assert {finding.kind for finding in folder.findings} == {"no-label"}


def test_lists_of_ones_own_are_before_those_that_were_drawn(tmp_path: Path) -> None:
    lists = {
        "autosplit_train.txt": "images/a.jpg",
        "train.txt": "images/a.jpg\nimages/b.jpg",
        "val.txt": "images/c.jpg",
    }
    labels = {f"labels/{stem}.txt": GOOD for stem in "abc"}
    root = lay(tmp_path, {**pictures("images", "a b c"), **labels, **lists, "classes.txt": "cat"})
    assert len(read_folder(root).splits["train"].content["images"]) == 2
    for name in ("train", "val"):
        (root / f"{name}.txt").rename(root / f"autosplit_{name}.txt")
    assert len(read_folder(root).splits["train"].content["images"]) == 2


def test_a_list_of_a_split_that_leads_nowhere_is_told_of(tmp_path: Path) -> None:
    texts = {f"labels/{stem}.txt": GOOD for stem in "abcdef"}
    lists = {"train.txt": "images/a.png\nimages/b.png"}
    root = lay(tmp_path, {**pictures("images", "a b c d e f"), **texts, **lists, "classes.txt": "cat"})
    finding = only(read_folder(root))
    assert (finding.kind, finding.where) == ("missing-image", "train.txt")
    assert "lists 2 images, of which none is there (images/a.png does not exist)" in finding.what


def test_labels_of_images_that_no_list_names_are_not_lost(tmp_path: Path) -> None:
    yaml = "names: [cat, dog]\ntrain: train.txt\nval: val.txt"
    files = {"train.txt": "images/a.jpg\nimages/b.jpg", "val.txt": "images/c.jpg", "data.yaml": yaml}
    assert read(tmp_path, {}, **files).findings == ()


def test_an_empty_label_file_is_an_image_without_objects(tmp_path: Path) -> None:
    folder = read(tmp_path, {"a": "", "b": "\n \n"})
    assert folder.findings == ()
    assert boxes(folder, "a") == boxes(folder, "b") == []


def test_classes_without_names_are_told(tmp_path: Path) -> None:
    root = lay(tmp_path, {**pictures("images", "a b"), "labels/a.txt": "2 .5 .5 .5 .5", "labels/b.txt": GOOD})
    folder = read_folder(root)
    assert folder.classes == ("class_0", "class_1", "class_2")
    assert (only(folder).kind, only(folder).level) == ("class-names", "warning")


@pytest.mark.parametrize(
    ("yaml", "kind"),
    [
        ("names: [cat, dog]\nnc: 3", "class-count"),
        ("nc: 2", "class-names"),
        ("names: [cat, cat]", "class-names-twice"),
        ("names: [cat, dog]\ntrain: images\nval: images", "same-split"),
        ("names: [cat, dog]\ntrain: images\nval: photos", "missing-folder"),
        ("names: [cat, dog]\ntrain: train/images\nval: valid/images", "missing-folder"),
        ("names: [cat, dog]\ntrain: images\nval: some.txt", "missing-image"),
    ],
)
def test_doubtful_yaml_files_are_told(yaml: str, kind: str, tmp_path: Path) -> None:
    folder = read(tmp_path, {}, **{"data.yaml": yaml, "some.txt": "images/a.jpg\nimages/nowhere.jpg"})
    assert kind in {finding.kind for finding in folder.findings if finding.level != "note"}
    assert len(boxes(folder, "b")) >= 1


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("names: [cat", "data.yaml is not valid YAML: .*line 1"),
        ("names: {0: cat, 2: dog}", r"names has the ids \[0, 2\]"),
        ("names: {cat: 0}", "keys of names"),
        ("names: cat", "it must list the classes"),
        ("nc: two", "nc is 'two', it must be the number"),
        ("nc: 3000000", "nc is '3000000', it must be the number"),
        ("names: [[cat]]", "it must list the classes"),
        ("names: [cat]\ntrain: photos", "data.yaml leads to no image.*'photos', which does not exist"),
    ],
)
def test_yaml_files_that_cannot_be_used(yaml: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, {}, **{"data.yaml": yaml})


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    lay(tmp_path / "disk", {**pictures("images", "a b"), "labels/a.txt": GOOD, "labels/b.txt": GOOD})
    yaml = f"path: {tmp_path / 'disk'}\ntrain: images\nnames: [cat]"
    folder = read_folder(lay(tmp_path / "set", {"data.yaml": yaml}))
    assert folder.findings == ()
    for split in folder.splits.values():
        assert all((split.image_root / image["file_name"]).is_file() for image in split.content["images"])


@pytest.mark.parametrize("form", ["names: [{}]", "names: {{0: {}, 1: {}, 2: {}}}", "names:\n- {}\n- {}\n- {}"])
def test_names_are_the_texts_of_the_file(form: str, tmp_path: Path) -> None:
    for names in (("no", "007", "1.0"), ("on", "2024-01-01", "1e3"), ("yes", "0x1f", "12:30"), ("1_000", "null", "~")):
        yaml = form.format(*names) if form.count("{}") == 3 else form.format(", ".join(names))
        assert read(tmp_path, {}, **{"data.yaml": f"{yaml}\nnc: 3\n"}).classes == names


def test_a_single_class_without_name(tmp_path: Path) -> None:
    for files in ({"data.yaml": "nc: 1"}, {}):
        root = lay(tmp_path / str(len(files)), {**pictures("images", "a b"), **files})
        found = only(read_folder(lay(root, {"labels/a.txt": GOOD, "labels/b.txt": GOOD})))
        assert found.what.endswith("is called class_0")


@pytest.mark.parametrize("yaml", [True, False])
def test_lines_that_are_repeated_list_an_image_once(yaml: bool, tmp_path: Path) -> None:
    lists = {"train.txt": "images/a.jpg\nimages/b.jpg\n./images/a.jpg\nimages/a.jpg", "val.txt": "images/c.jpg\n" * 2}
    described = "names: [cat, dog]\ntrain: train.txt\nval: val.txt"
    root = lay(tmp_path, {"data.yaml": described} if yaml else {"classes.txt": "cat\ndog"})
    labels = {f"labels/{name}.txt": GOOD for name in "abc"}
    folder = read_folder(lay(root, {**lists, **labels, **pictures("images", "a b c")}))
    names = {name: [image["file_name"] for image in split.content["images"]] for name, split in folder.splits.items()}
    assert names == {"train": ["images/a.jpg", "images/b.jpg"], "val": ["images/c.jpg"]}
    assert len(boxes(folder, "a")) == 1
    assert {(each.kind, each.level) for each in folder.findings} == {("listed-twice", "note")}
    told = {each.where: each.what.split(" of images")[0] for each in folder.findings}
    assert told == {"train.txt": "2 lines are", "val.txt": "1 line is"}


def test_a_label_file_of_two_images_is_an_error_and_neither_is_used(tmp_path: Path) -> None:
    folder = read(tmp_path, {}, **{"images/a.png": picture(form="PNG")})
    assert (only(folder).kind, only(folder).level) == ("label-of-two-images", "error")
    assert only(folder).where == "labels/a.txt"
    assert not boxes(folder, "a")
    assert sum(len(split.content["images"]) for split in folder.splits.values()) == 5


def test_two_folders_of_images_may_not_share_labels(tmp_path: Path) -> None:
    files = {"labels/a.txt": GOOD, "labels/b.txt": GOOD, "labels/c.txt": GOOD, "classes.txt": "cat"}
    folder = read_folder(lay(tmp_path, {**pictures("left", "a b"), **pictures("right", "a c"), **files}))
    assert (only(folder).kind, only(folder).level) == ("label-of-two-images", "error")
    assert "2 images (left/a.jpg, right/a.jpg)" in only(folder).what
    with pytest.raises(InputError, match=r"none of the images can be used .*label file of 2 images"):
        read_folder(lay(tmp_path / "all", {**pictures("left", "a"), **pictures("right", "a"), "labels/a.txt": GOOD}))


def test_an_image_in_two_splits_has_one_label_file(tmp_path: Path) -> None:
    folder = read(tmp_path, {}, **{"data.yaml": "names: [cat]\ntrain: images\nval: images"})
    assert only(folder).kind == "same-split"


@pytest.mark.parametrize("val", ["val/images", "[val/images, more/images]"])
def test_a_val_folder_that_is_not_there_is_made_from_train(val: str, tmp_path: Path) -> None:
    folder = read(tmp_path, {}, **{"data.yaml": f"names: [cat]\ntrain: images\nval: {val}"})
    assert {(finding.kind, finding.level) for finding in folder.findings} == {("missing-folder", "warning")}
    assert all("val is made from train" in finding.what for finding in folder.findings)
    assert folder.splits["val"].source == "1 of 6 images of images, by their names"


def test_a_part_of_train_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    folder = read(tmp_path, {}, **{"data.yaml": "names: [cat]\ntrain: [images, more/photos]\n"})
    assert (only(folder).kind, only(folder).level) == ("missing-folder", "error")


def test_paths_that_lead_upwards_are_of_this_set_where_it_has_them(tmp_path: Path) -> None:
    """Roboflow writes them for another place of the YAML file; a neighbour may have the same folders."""
    neighbour = {**pictures("train/images", "z"), "train/labels/z.txt": GOOD}
    own = {**pictures("train/images", "a b"), "train/labels/a.txt": GOOD, "train/labels/b.txt": GOOD}
    lay(tmp_path / "sets", neighbour)
    root = lay(tmp_path / "sets/own", {**own, "data.yaml": "names: [cat]\ntrain: ../train/images\n"})
    folder = read_folder(root)
    stems = {Path(image["file_name"]).stem for split in folder.splits.values() for image in split.content["images"]}
    assert stems == {"a", "b"}


@pytest.mark.parametrize("stem", ["license_plate_1", "readme", "notes", "requirements", "LICENSE.2"])
def test_images_may_be_called_as_files_beside_labels_are(stem: str, tmp_path: Path) -> None:
    folder = read(tmp_path, {}, **{f"images/{stem}.png": PICTURE, f"labels/{stem}.txt": GOOD})
    assert len(boxes(folder, stem)) == 1
    assert not folder.findings


@pytest.mark.parametrize(
    ("image", "label"), [("x.png", "x.TXT"), ("caf\u00e9.png", "cafe\u0301.txt"), ("cafe\u0301.png", "caf\u00e9.txt")]
)
def test_names_are_one_in_whatever_way_a_system_writes_them(image: str, label: str, tmp_path: Path) -> None:
    folder = read(tmp_path, {}, **{f"images/{image}": PICTURE, f"labels/{label}": GOOD})
    assert len(boxes(folder, Path(image).stem)) == 1
    assert not folder.findings


def test_images_of_a_format_that_is_not_read_are_named_with_their_labels(tmp_path: Path) -> None:
    folder = read(tmp_path, {}, **{"images/x.jfif": b"", "labels/x.txt": GOOD})
    found = only(folder)
    assert (found.kind, found.level, found.where) == ("unread-format", "warning", "labels/x.txt")
    assert "its image is images/x.jfif, of a format that is not read" in found.what
    assert found.remedy == "convert the image to JPEG or PNG"


def test_a_label_called_like_a_split_is_one_if_it_reads_so(tmp_path: Path) -> None:
    folder = read(tmp_path, {}, **{"labels/train1.txt": GOOD, "labels/val2.txt": "images/a.png\n"})
    assert (only(folder).kind, only(folder).where) == ("no-image-of-label", "labels/train1.txt")


def test_one_of_several_yaml_files_is_named(tmp_path: Path) -> None:
    yaml = "names: [{}]\ntrain: images\n"
    files = {"cats.yaml": yaml.format("cat"), "animals.yaml": yaml.format("animal"), "other.yaml": "a: b\n"}
    lay(tmp_path, {**files, **pictures("images", "a b c d"), **{f"labels/{name}.txt": GOOD for name in "abcd"}})
    folder = read_folder(tmp_path)
    assert folder.classes == ("animal",)
    assert (only(folder).kind, only(folder).where) == ("two-files", "animals.yaml")
    assert only(folder).what == "describes the set, and cats.yaml does too"
    chosen = read_folder(tmp_path / "cats.yaml")
    assert chosen.classes == ("cat",)
    assert (chosen.root, chosen.called) == (tmp_path, f"{tmp_path.name}-cats")
    assert not chosen.findings
    with pytest.raises(InputError, match=r"other\.yaml: names is None"):
        read_folder(tmp_path / "other.yaml")
    (tmp_path / "other.yaml").write_text("")
    with pytest.raises(InputError, match=r"other\.yaml describes no set"):
        read_folder(tmp_path / "other.yaml")


def test_a_second_yaml_file_may_be_malformed(tmp_path: Path) -> None:
    assert not read(tmp_path, {}, **{"dataset.yaml": "names: ["}).findings


def test_an_empty_line_among_names_is_named(tmp_path: Path) -> None:
    """A class's id is the number of its line; at the end such lines are none."""
    files = {"labels/a.txt": "1 .5 .5 .2 .2", "labels/b.txt": GOOD, **pictures("images", "a b")}
    root = lay(tmp_path, {**files, "classes.txt": "cat\n dog \n\n\n"})
    assert read_folder(root).classes == ("cat", "dog")
    (root / "classes.txt").write_text("cat\n\ndog\n")
    with pytest.raises(InputError, match=r"classes\.txt: line 2 is empty; write the class's name there"):
        read_folder(root)


def test_lists_of_classes_that_differ_are_refused(tmp_path: Path) -> None:
    """LabelImg writes one beside the labels of each split; ids mean its lines."""
    files = {f"{split}/{name}.txt": GOOD for split in ("train", "val") for name in "ab"}
    files |= {**pictures("train", "a b"), **pictures("val", "a b"), "train/classes.txt": "cat\ndog\n"}
    root = lay(tmp_path, {**files, "val/classes.txt": "dog\ncat\n"})
    with pytest.raises(
        InputError, match=r"train/classes\.txt and .*val/classes\.txt list other classes, or in another"
    ):
        read_folder(root)
    (root / "classes.txt").write_text("dog\ncat\n")  # that of the set rules
    assert read_folder(root).classes == ("dog", "cat")
    (root / "classes.txt").unlink()
    (root / "val/classes.txt").write_text("cat\ndog\nbird")  # to which one was added
    lay(root, {"tool/predefined_classes.txt": "person"})
    assert read_folder(root).classes == ("cat", "dog", "bird")


def test_lists_of_classes_in_other_encodings(tmp_path: Path) -> None:
    root = lay(tmp_path, {"labels/a.txt": GOOD, "labels/b.txt": GOOD, **pictures("images", "a b")})
    (root / "classes.txt").write_bytes("café\ndog\n".encode("utf-16"))  # as PowerShell's > does
    assert read_folder(root).classes == ("café", "dog")
    (root / "classes.txt").write_bytes("café\ndog\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"classes\.txt is not UTF-8, .* save it as UTF-8"):
        read_folder(root)


def test_a_list_is_of_its_own_set_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths that exist from the working folder too."""
    lists = {"train.txt": "images/a.jpg\nimages/b.jpg\n", "val.txt": "set/images/c.jpg\n", "classes.txt": "cat"}
    labels = {f"labels/{name}.txt": GOOD for name in "abc"}
    root = lay(tmp_path / "set", {**lists, **labels, **pictures("images", "a b c")})
    expected = read_folder(root)
    for place in (root, tmp_path):
        monkeypatch.chdir(place)
        found = read_folder(root)
        assert not found.findings
        for name, split in expected.splits.items():
            assert found.splits[name].content == split.content


def test_a_class_id_beyond_all_sets_is_left_out(tmp_path: Path) -> None:
    """Names for each number below it would fill the memory."""
    labels = {"labels/a.txt": f"{GOOD}100000000 .5 .5 .1 .1", "labels/b.txt": GOOD}
    folder = read_folder(lay(tmp_path, {**labels, **pictures("images", "a b")}))
    assert len(folder.classes) < 10
    (finding,) = [each for each in folder.findings if each.kind == "class-range"]
    assert finding.where.endswith("a.txt, line 2")
