"""Classes of splits, ids that are shifted, and names that are one."""

from __future__ import annotations

import pytest
from references.own_data import coco, lay, pictures

from lors_det.data.doctor import examine, open_case, repair
from lors_det.data.doctor.classes import id_shift
from lors_det.data.doctor.names import alike, edits
from lors_det.data.doctor.table import read_table
from lors_det.data.folder import read_folder

COCO = (
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant stop_sign "
    "parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella "
    "handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard "
    "surfboard tennis_racket bottle wine_glass cup fork knife spoon bowl banana apple sandwich orange "
    "broccoli carrot hot_dog pizza donut cake chair couch potted_plant bed dining_table toilet tv laptop "
    "mouse remote keyboard cell_phone microwave oven toaster sink refrigerator book clock vase scissors "
    "teddy_bear hair_drier toothbrush"
)


def kinds(small):
    return {(found.kind, found.level) for found in examine(small.case()) if found.level != "note"}


@pytest.mark.parametrize(
    ("rare", "common", "how"),
    [
        ("racoon", "raccoon", "class-typo"),
        ("raccon", "raccoon", "class-typo"),
        ("jelyfihs", "jellyfish", "class-typo"),
        ("rcaoon", "racoon", "class-typo"),
        ("Raccoon", "raccoon", "class-spelling"),
        ("fire hydrant", "fire_hydrant", "class-spelling"),
        ("fire-hydrant", "FireHydrant", "class-spelling"),
        ("raccoons", "raccoon", "class-plural"),
    ],
)
def test_names_of_one_class(rare, common, how):
    assert alike({common: 1000, rare: 3}) == [(rare, common, how)]


@pytest.mark.parametrize(
    ("rare", "common"),
    [
        ("cat", "car"),
        ("mitten", "kitten"),
        ("player 1", "player 2"),
        ("class_10", "class_11"),
        ("type a", "type b"),
        ("male", "female"),
        ("glass", "grass"[::-1]),
        ("starfish", "stingray"),
    ],
)
def test_names_of_two_classes(rare, common):
    assert alike({common: 1000, rare: 3}) == []


def test_a_name_that_is_not_rare_is_no_typing_error():
    assert alike({"raccoon": 1000, "racoon": 101}) == []
    assert alike({"raccoon": 1000, "racoon": 100}) != []


def test_no_two_classes_of_coco_are_alike():
    """Whatever is rare."""
    names = COCO.split()
    for rare in names:
        assert alike({name: 1 if name == rare else 1000 for name in names}) == []


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [("", "", 0), ("ab", "ab", 0), ("ab", "ba", 1), ("ab", "abc", 1), ("abc", "abd", 1), ("kitten", "sitting", 3)],
)
def test_edits_are_counted(one, other, count):
    assert edits(one, other, 9) == edits(other, one, 9) == count


def test_a_plural_of_many_boxes_is_a_question_only(small):
    for record in small.records.values():
        record["categories"][1]["name"] = "raccoons"
    found = examine(small.case())
    assert [(each.kind, each.level) for each in found] == [("class-plural", "note")]
    assert repair(small.case(), small.root, fix_classes=True).actions == ()


@pytest.mark.parametrize("shift", [1, -1])
def test_shifted_ids_are_one_finding_and_are_shifted_back(small, shift):
    for category in small.records["train"]["categories"]:
        category["id"] += shift
    assert id_shift(read_table(small.folder.splits["train"])) == shift
    assert kinds(small) == {("class-ids-shifted", "error")}
    mended = repair(small.case(), small.root).case
    assert examine(mended) == ()
    names = [mended.tables[0].class_names[index] for index in mended.tables[0].class_of]
    assert names == ["raccoon", "badger"] * 40


def test_a_rare_class_at_the_end_is_no_stray(small):
    """Three boxes are no slip, though few."""
    train = small.records["train"]["annotations"]
    for number, annotation in enumerate(train):
        annotation["category_id"] = 0 if number < 3 else 1
    assert id_shift(read_table(small.folder.splits["train"])) == 1


def test_a_stray_id_shifts_no_others(small):
    """Though all would fit, since the last class has no box."""
    val = small.records["val"]["annotations"]
    for annotation in val:
        annotation["category_id"] = 1
    val[0]["category_id"] = 0
    assert id_shift(read_table(small.folder.splits["val"])) == 0
    assert ("class-range", "error") in kinds(small)
    case = repair(small.case(), small.root).case
    assert [each["category_id"] for each in case.tables[1].annotations] == [1] * 31


def test_ids_that_fit_are_not_shifted(small):
    """Nor where some classes have no boxes."""
    for record in small.records.values():
        record["annotations"] = [each for each in record["annotations"] if each["category_id"] == 2]
    assert id_shift(read_table(small.folder.splits["train"])) == 0
    assert kinds(small) == {("class-without-boxes", "warning")}


def test_labels_of_yolo_that_count_from_one(tmp_path):
    files = {"data.yaml": "names: [dog, cat]\ntrain: train/images\nval: val/images\n"}
    for split in ("train", "val"):
        files |= pictures(f"{split}/images", "a b c")
        files |= {f"{split}/labels/{name}.txt": "1 .5 .5 .2 .2\n2 .3 .3 .1 .1\n" for name in "abc"}
    assert_told(lay(tmp_path, files), "dog")


def test_ids_of_a_coco_folder_that_count_from_zero(tmp_path):
    files = {
        f"{split}.json": coco(names, boxes=[(4, 2, 10, 8)] * 2) for split, names in (("train", "a b"), ("val", "c"))
    }
    for annotation in files["train.json"]["annotations"]:
        annotation["category_id"] -= 1
    assert_told(lay(tmp_path, {**files, **pictures("images", "a b c")}), "cat")


def assert_told(root, name):
    """The ids are told to be off, also after a repair: it has no more boxes than the reader had."""
    case = open_case(read_folder(root))
    for each in (case, repair(case, root / "out").case):
        found = [finding for finding in examine(each) if finding.kind == "class-ids-shifted"]
        assert [finding.level for finding in found] == ["error"] * len(found)
        assert found
        assert all(finding.what.startswith(f"class {name} has no box") for finding in found)


def test_classes_are_made_the_same(small):
    small.records["val"]["categories"] = [{"id": 7, "name": "badger"}, {"id": 9, "name": "raccoon"}]
    for annotation in small.records["val"]["annotations"]:
        annotation["category_id"] = 7 if annotation["category_id"] == 2 else 9
    assert kinds(small) == {("class-order", "error")}
    mended = repair(small.case(), small.root).case
    assert examine(mended) == ()
    assert [table.class_names for table in mended.tables] == [("raccoon", "badger")] * 2
    val = mended.tables[1]
    assert [val.class_names[index] for index in val.class_of] == ["raccoon", "badger"] * 16


def test_classes_twice_are_errors(small):
    small.records["train"]["categories"].append({"id": 1, "name": "badger"})
    found = {kind for kind, level in kinds(small) if level == "error"}
    assert {"duplicate-category-id", "class-names-twice"} <= found


def test_ids_that_an_evaluation_misreads_are_told_and_mended(small):
    """Of what is evaluated; training reads them right."""
    for record in small.records.values():
        record["annotations"][0]["id"] = 0
        for entries, key in ((record["categories"], "id"), (record["annotations"], "category_id")):
            for entry in entries:
                entry[key] = {1: 7, 2: 3}[entry[key]]
    case = small.case()
    found = [(finding.kind, finding.where) for finding in examine(case) if finding.level != "note"]
    assert sorted(found) == [("annotation-id-0", "val"), ("category-id-order", "val")]
    mended = repair(case, small.root)
    assert sum("numbered anew, for an id was 0" in action for action in mended.actions) == 2
    assert [finding for finding in examine(mended.case) if finding.level != "note"] == []
    for before, after in zip(case.tables, mended.case.tables):
        assert [category["id"] for category in after.categories] == [1, 2]
        assert before.class_of.tolist() == after.class_of.tolist()
