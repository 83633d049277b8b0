"""Names of splits, and the val split that is made."""

from pathlib import Path

import pytest

from lors_det.data.record import Split
from lors_det.data.splits import chosen_for_val, complete, split_called, split_mentioned, split_of_folders
from lors_det.errors import InputError


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Training", "train"), ("train2017", "train"), ("valid", "val"), ("dev", "val")]
    + [("images_val", "val"), ("test-labels", "test"), ("validation", "val"), ("testing", "test")]
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


def test_the_share_is_met_and_a_name_keeps_its_side() -> None:
    names = [f"photo {number}.jpg" for number in range(5000)]
    chosen = chosen_for_val(names, 0.2)
    assert abs(len(chosen) - 1000) < 4 * (5000 * 0.2 * 0.8) ** 0.5  # four standard deviations
    assert chosen_for_val(reversed(names), 0.2) == chosen
    assert chosen_for_val(names[:2500], 0.2) == chosen & set(names[:2500])
    assert chosen < chosen_for_val(names, 0.3)


@pytest.mark.parametrize("fraction", [1e-9, 0.5, 1 - 1e-9])
def test_neither_side_is_empty(fraction: float) -> None:
    for number in range(2, 6):
        names = [f"{index}.png" for index in range(number)]
        assert 1 <= len(chosen_for_val(names, fraction)) < number


def test_augmented_copies_stay_together() -> None:
    names = [f"p{number}_jpg.rf.{copy * 3:08x}.jpg" for number in range(200) for copy in range(5)]
    chosen = chosen_for_val(names, 0.4)
    sides = {number: {f"p{number}_jpg.rf.{copy * 3:08x}.jpg" in chosen for copy in range(5)} for number in range(200)}
    assert all(len(side) == 1 for side in sides.values())
    assert 0 < len(chosen) < len(names)


def test_parts_hold_every_image_and_box_once() -> None:
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(40)]
    annotations = [{"id": number, "image_id": number // 2} for number in range(80)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    whole = Split("train", Path("images"), content, "all.json", Path("all.json"))
    splits = complete({"test": whole, "train": whole}, 0.25)
    assert list(splits) == ["train", "val", "test"]
    assert splits["test"] is whole
    for section in ("images", "annotations"):
        parts = [entry["id"] for name in ("train", "val") for entry in splits[name].content[section]]
        assert sorted(parts) == [entry["id"] for entry in content[section]]
    for name, share in (("train", 75), ("val", 25)):
        part = splits[name]
        assert {a["image_id"] for a in part.content["annotations"]} == {i["id"] for i in part.content["images"]}
        assert (part.name, part.annotation_file) == (name, None)
        assert part.source == f"{share} % of all.json, by a hash of the file names"


def test_bounds() -> None:
    for fraction in (0, 1, -1, float("nan")):
        with pytest.raises(InputError, match="share of val"):
            chosen_for_val(["a", "b"], fraction)
    with pytest.raises(InputError, match="at least 2"):
        chosen_for_val(["a", "a"], 0.5)
    with pytest.raises(InputError, match="no train split, only test"):
        complete({"test": Split("test", Path(), {}, "")}, 0.5)
