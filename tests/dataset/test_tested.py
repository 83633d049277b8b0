"""What a test takes of a folder: one split, whole, with the model's classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lors_det.data.record import DataFolder, Split
from lors_det.data.tested import as_tested
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
    found = as_tested(folder_of(*names), asked, None)
    assert [split.source for split in found.splits.values()] == [f"source of {taken}"] * 3
    assert found.splits.keys() == {"train", "val", "test"}


def test_val_is_not_made_of_another():
    with pytest.raises(InputError, match="--split val: set has no val split, it has train, test"):
        as_tested(folder_of("train", "test"), "val", None)


def test_a_file_whose_categories_are_the_models_is_read_as_it_is():
    file = Path("test.json")
    split = as_tested(folder_of("test", file=file), "test", ("cat", "dog")).splits["test"]
    assert split.annotation_file == file
    assert split.content["categories"][0]["id"] == 5


def test_classes_are_brought_to_the_models_order_by_their_names():
    folder = folder_of("test", classes=("dog", "cat"), file=Path("test.json"))
    found = as_tested(folder, "test", ("cat", "cow", "dog"))
    split = found.splits["test"]
    assert found.classes == ("cat", "cow", "dog")
    assert split.annotation_file is None
    assert split.content["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "cow"}, {"id": 3, "name": "dog"}]
    assert [each["category_id"] for each in split.content["annotations"]] == [3, 1]
    assert [each["category_id"] for each in folder.splits["test"].content["annotations"]] == [5, 6], "not changed"


def test_a_class_that_the_model_has_not_is_refused():
    with pytest.raises(InputError, match=r"has the classes dog, .* it knows cat\. Leave them out"):
        as_tested(folder_of("test"), "test", ("cat",))
