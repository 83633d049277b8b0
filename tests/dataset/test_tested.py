"""What a test takes of a folder: one split, whole, with the model's classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lors_det.data.record import DataFolder, Finding, Split
from lors_det.data.tested import as_tested, only_tested
from lors_det.errors import InputError


def folder_of(*names: str, classes: tuple[str, ...] = ("cat", "dog"), file: Path | None = None) -> DataFolder:
    """Splits of one image each, with a box of every class; ids of categories begin at 5."""
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, 5)]
    boxes = [{"id": each["id"], "image_id": 1, "category_id": each["id"], "bbox": [0, 0, 4, 4]} for each in categories]
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": boxes, "categories": categories}
    splits = {name: Split(name, Path(name), content, f"source of {name}", file) for name in names}
    return DataFolder(Path("set"), "COCO", classes, splits)


@pytest.mark.parametrize(
    ("names", "asked", "taken"),
    [
        (("train", "val", "test"), "test", "test"),
        (("train", "val"), "test", "val"),
        (("test",), "test", "test"),
        (("train",), "test", "train"),
        (("train", "val", "test"), "val", "val"),
    ],
)
def test_the_split_that_is_there(names, asked, taken):
    folder = folder_of(*names)
    found = [Finding("no-box", "error", name, "") for name in names] + [Finding("no-size", "note", "x", "")]
    chosen = only_tested(replace(folder, findings=tuple(found)), asked)
    assert chosen.splits.keys() == {taken}
    assert [each.where for each in chosen.findings] == [taken, "x"], "what is wrong with others is no matter"
    tested = as_tested(chosen, None)
    assert [split.source for split in tested.splits.values()] == [f"source of {taken}"] * 3
    assert tested.splits.keys() == {"train", "val", "test"}


def test_val_is_not_made_of_another():
    with pytest.raises(InputError, match="--split val: set has no val split, it has train, test"):
        only_tested(folder_of("train", "test"), "val")


def test_a_file_whose_categories_are_the_models_is_read_as_it_is():
    file = Path("test.json")
    split = as_tested(folder_of("test", file=file), ("cat", "dog")).splits["test"]
    assert split.annotation_file == file
    assert split.content["categories"][0]["id"] == 5


def test_classes_are_brought_to_the_models_order_by_their_names():
    folder = folder_of("test", classes=("dog", "cat"), file=Path("test.json"))
    found = as_tested(folder, ("cat", "cow", "dog"))
    split = found.splits["test"]
    assert found.classes == ("cat", "cow", "dog")
    assert split.annotation_file is None
    assert split.content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "cow"}, {"id": 3, "name": "dog"}]
    assert [each["category_id"] for each in split.content["annotations"]] == [3, 1]
    assert [each["category_id"] for each in folder.splits["test"].content["annotations"]] == [5, 6], "not changed"


def test_a_class_that_the_model_has_not_is_refused_if_it_has_boxes():
    folder = folder_of("test")
    with pytest.raises(InputError, match=r"has boxes of dog, .* it knows cat\. Leave them out"):
        as_tested(folder, ("cat",))
    folder.splits["test"].content["annotations"].pop()
    assert as_tested(folder, ("cat",)).splits["test"].content["categories"] == [{"id": 1, "name": "cat"}]


def test_classes_of_one_name_are_refused():
    with pytest.raises(InputError, match="classes of the same name"):
        as_tested(folder_of("test"), ("cat", "dog", "cat"))
