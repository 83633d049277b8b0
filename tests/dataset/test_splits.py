"""Names of splits, and a split that is made two."""

from pathlib import Path

import pytest

from lors_det.data.record import Split
from lors_det.data.splits import by_folder, complete, split_called, split_mentioned, split_of_folders
from lors_det.errors import InputError


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Training", "train"), ("train2017", "train"), ("valid", "val"), ("dev", "val")]
    + [("images_val", "val"), ("test-labels", "test"), ("validation", "val"), ("testing", "test")]
    + [("train_dataset", None), ("test_files", None)]
    + [(name, None) for name in ("dog_train", "trainval", "testimony", "train_val", "", "2017", "trains")],
)
def test_names(name: str, split: str | None) -> None:
    assert split_called(name) == split


def test_mentions_and_folders() -> None:
    assert split_mentioned("instances_val2017") == "val"
    assert split_mentioned("blood-cells.Train.coco") == "train"
    assert split_mentioned("constraints") is None
    assert split_of_folders("data/images/train/camera_test") == "train"
    assert split_of_folders("latest/images") is None


def test_parts_hold_every_image_and_box_once() -> None:
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(40)]
    annotations = [{"id": number, "image_id": number // 2, "category_id": 1} for number in range(80)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    whole = Split("train", Path("images"), content, "all.json", Path("all.json"))
    splits = complete({"test": whole, "train": whole}, 0.25)
    assert list(splits) == ["train", "val", "test"]
    assert splits["test"] is whole
    for section in ("images", "annotations"):
        parts = [entry["id"] for name in ("train", "val") for entry in splits[name].content[section]]
        assert sorted(parts) == [entry["id"] for entry in content[section]]
    for name, number in (("train", 30), ("val", 10)):
        part = splits[name]
        assert {a["image_id"] for a in part.content["annotations"]} == {i["id"] for i in part.content["images"]}
        assert (part.name, part.annotation_file) == (name, None)
        assert part.source == f"{number} of 40 images of all.json, by their names"


def test_a_set_without_train_is_refused() -> None:
    with pytest.raises(InputError, match="no train split, only test"):
        complete({"test": Split("test", Path(), {}, "")}, 0.5)


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ("train_dataset/a val_dataset/b test_photos/c", {"train": 1, "val": 1, "test": 1}),
        ("test_dataset/train/a test_dataset/val/b", {"train": 1, "val": 1}),
        ("dev_files/images/a dev_files/more/b", {"train": 2}),
        ("train_dataset/a train/b", {"train": 1}),
    ],
)
def test_looser_names_count_where_no_others_are_there(paths: str, found: dict[str, int]) -> None:
    """A whole set may lie in a folder called test_dataset."""
    parts, _ = by_folder([f"/set/{path}" for path in paths.split()], Path("/set"), "image", [])
    assert {split: len(files) for split, files in parts.items()} == found
