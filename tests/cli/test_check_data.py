"""``lors-det check-data``: what it prints, its exit status, and the copy that it repairs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from references.own_data import coco, lay, pictures, voc

import lors_det.cli.check_data as command
from lors_det.cli import run_command

NAMES = " ".join(f"p{number}" for number in range(36))


def check(capsys, *arguments: object) -> tuple[int, str]:
    """Exit status and what was printed."""
    status = 0
    try:
        run_command(command, [*map(str, arguments)])
    except SystemExit as ended:
        status = int(ended.code or 0)
    printed = capsys.readouterr()
    return status, printed.out + printed.err


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """COCO files of 36 and 12 pictures, each of another noise."""
    rng = np.random.default_rng(0)
    val = NAMES[: NAMES.index(" p12")].replace("p", "v")
    files: dict = {"train.json": coco(NAMES, classes=["dog"]), "val.json": coco(val, classes=["dog"])}
    for entry in [*files["train.json"]["images"], *files["val.json"]["images"]]:
        pixels = cv2.resize(rng.integers(0, 256, (5, 8, 3), np.uint8), (40, 20), interpolation=cv2.INTER_CUBIC)
        files[f"images/{entry['file_name']}"] = cv2.imencode(".jpg", pixels)[1].tobytes()
    # boxes at other places, or a constant box would be told of
    for name in ("train.json", "val.json"):
        for annotation in files[name]["annotations"]:
            width, height = rng.integers(4, 18, 2)
            annotation["bbox"] = [
                int(rng.integers(0, 40 - width)),
                int(rng.integers(0, 20 - height)),
                *map(int, (width, height)),
            ]
    return lay(tmp_path / "set", files)


def change(place: Path, name: str, what) -> None:
    content = json.loads((place / name).read_text())
    what(content)
    (place / name).write_text(json.dumps(content))


def no_area(content: dict) -> None:
    content["annotations"][3]["bbox"][2] = 0


def corners(content: dict) -> None:
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x, y, x + w, y + h]


def config(place: Path, tmp_path: Path, **train) -> Path:
    data = {"data_root": f"{place}/", "data_prefix": {"img": "images/"}}
    path = tmp_path / "config.py"
    path.write_text(
        '_base_ = ["lors_det::own/lors-adamixer_r18-half_50-query_60e_own.py"]\n'
        f"train_dataloader = dict(dataset={ {**data, 'ann_file': 'train.json', **train} })\n"
        f"val_dataloader = dict(dataset={ {**data, 'ann_file': 'val.json'} })\n"
        "test_dataloader = val_dataloader\n"
    )
    return path


def test_a_clean_set_makes_sense(capsys, place, tmp_path):
    for data in (place, config(place, tmp_path)):
        status, printed = check(capsys, data)
        assert (status, printed.splitlines()[-1]) == (0, f"{data}: training makes sense")
        assert "36" in printed
        assert "Findings" not in printed


def test_warnings_leave_the_status_alone_and_errors_do_not(capsys, place, tmp_path):
    change(place, "train.json", no_area)
    status, printed = check(capsys, config(place, tmp_path))
    assert status == 0
    assert "training makes sense, but mind 1 warning" in printed
    assert check(capsys, config(place, tmp_path), "--strict")[0] == 1
    change(place, "train.json", corners)
    status, printed = check(capsys, place)
    assert status == 1
    assert "box-form-corners" in printed.splitlines()[-1]
    assert "--fix OUT_DIR" in printed.splitlines()[-1]


def test_what_cannot_be_read_at_all_is_status_2(capsys, tmp_path):
    for wrong in (tmp_path, tmp_path / "none", tmp_path / "none.py"):
        status, printed = check(capsys, wrong)
        assert status == 2
        assert printed.startswith("error: ")
        assert len(printed.splitlines()) == 1


def test_a_malformed_file_of_a_config_is_a_finding(capsys, place, tmp_path):
    path = config(place, tmp_path)
    (place / "train.json").write_text('{"images": [')
    status, printed = check(capsys, path)
    assert status == 1
    assert "malformed-file" in printed
    (place / "val.json").unlink()
    assert check(capsys, path)[0] == 2


def test_classes_that_a_config_names_are_compared(capsys, place, tmp_path):
    status, printed = check(capsys, config(place, tmp_path, metainfo={"classes": ("cat",)}))
    assert status == 1
    assert "class-names" in printed


def test_several_datasets_are_one_split(capsys, place, tmp_path):
    change(place, "val.json", corners)
    part = {"type": "CocoDetection", "data_root": f"{place}/", "data_prefix": {"img": "images/"}}
    parts = [{**part, "ann_file": name} for name in ("train.json", "val.json")]
    path = tmp_path / "config.py"
    path.write_text(
        '_base_ = ["lors_det::own/lors-adamixer_r18-half_50-query_60e_own.py"]\n'
        f"train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets={parts}))\n"
        f"val_dataloader = dict(dataset={parts[1]})\ntest_dataloader = val_dataloader\n"
    )
    status, printed = check(capsys, path, "--json")
    report = json.loads(printed)
    assert status == 1
    assert report["splits"]["train"]["images"] == 48
    found = {finding["kind"] for finding in report["findings"]}
    assert {"box-form-corners", "same-split"} <= found


def test_json_is_all_that_is_printed(capsys, place, tmp_path):
    change(place, "train.json", no_area)
    status, printed = check(capsys, config(place, tmp_path), "--json", "--fix", tmp_path / "out")
    report = json.loads(printed)
    assert status == 0
    assert [(finding["kind"], finding["level"]) for finding in report["findings"]] == [("no-area", "warning")]
    assert report["repair"]["actions"] == ["train: 1 box without area dropped"]
    assert [finding["kind"] for finding in report["repair"]["findings"]] == ["empty-images"]
    assert report["splits"]["train"] == {
        "images": 36,
        "without_boxes": 0,
        "boxes": 36,
        "source": str(place / "train.json"),
    }


@pytest.mark.parametrize("form", ["folder", "config"])
def test_the_repaired_copy_is_clean_and_says_how_to_train_on_it(capsys, place, tmp_path, form):
    original = json.loads((place / "train.json").read_text())
    change(place, "train.json", corners)
    (place / "images" / "p3.jpg").write_bytes(b"")
    out = tmp_path / "out"
    data = place if form == "folder" else config(place, tmp_path)
    before = (place / "train.json").read_bytes()
    status, printed = check(capsys, data, "--fix", out)
    assert status == 0
    assert (place / "train.json").read_bytes() == before
    assert "boxes converted (corners)" in printed
    assert "1 truncated image dropped" in printed
    assert f'data_root="{out}/", ann_file="annotations/train.json", data_prefix=dict(img="")' in printed
    boxes = [a["bbox"] for a in json.loads((out / "annotations" / "train.json").read_text())["annotations"]]
    assert boxes == [a["bbox"] for a in original["annotations"] if a["image_id"] != 4]
    status, printed = check(capsys, out)
    assert (status, printed.splitlines()[-1]) == (0, f"{out}: training makes sense")


def test_the_annotations_themselves_are_not_written_over(capsys, place, tmp_path):
    (place / "annotations").mkdir()
    for name in ("train.json", "val.json"):
        (place / name).rename(place / "annotations" / name)
    before = (place / "annotations" / "train.json").read_bytes()
    status, printed = check(capsys, place, "--fix", place)
    assert status == 2
    assert "would write over the annotations themselves" in printed
    assert (place / "annotations" / "train.json").read_bytes() == before


@pytest.mark.parametrize("inner", [True, False])
def test_a_repaired_copy_lies_beside_the_set(capsys, place, tmp_path, inner):
    """Not in the folder that is named, also where the set is in a folder of that one."""
    data = place
    if inner:
        (tmp_path / "outer").mkdir()
        data = place.rename(tmp_path / "outer" / "set").parent
    status, printed = check(capsys, data, "--fix", data / "fixed")
    assert status == 2
    assert "name a folder beside it" in printed
    assert not (data / "fixed").exists()


def test_without_images_none_is_opened(capsys, place):
    for path in (place / "images").iterdir():
        path.write_bytes(b"")
    status, printed = check(capsys, place, "--no-images")
    assert status == 0
    assert printed.splitlines()[-1].endswith("training makes sense (images were not looked at)")
    assert check(capsys, place)[0] == 1


def test_a_picture_is_drawn(capsys, place, tmp_path):
    target = tmp_path / "picture.png"
    status, printed = check(capsys, place, "--picture", target)
    assert status == 0
    assert f"picture: {target}" in printed
    pixels = cv2.imread(str(target))
    assert pixels.shape == (946, 1650, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_a_set_that_can_hardly_be_drawn_is_drawn(capsys, tmp_path):
    """One class, no box in one split, a class name that is long."""
    files = {f"train/{name}.xml": voc(("a" * 60, 3, 3, 20, 15)) for name in "abc"} | pictures("train", "a b c")
    files |= {f"valid/{name}.xml": voc() for name in "de"} | pictures("valid", "d e")
    status, printed = check(capsys, lay(tmp_path / "set", files), "--picture", tmp_path / "picture.png")
    assert status == 1
    assert "no-box" in printed
    assert (tmp_path / "picture.png").stat().st_size > 10_000


def test_fixing_classes_needs_a_copy(capsys, place):
    assert check(capsys, place, "--fix-classes") == (
        2,
        "error: --fix-classes renames classes in the repaired copy; add --fix OUT_DIR\n",
    )


def test_a_val_of_images_of_train_is_told_once_and_made_anew(capsys, place, tmp_path):
    for name in ("train.json", "val.json"):
        (place / name).write_text((place / "train.json").read_text())
    status, printed = check(capsys, place, "--json", "--fix", tmp_path / "out")
    report = json.loads(printed)
    assert status == 0
    assert [finding["kind"] for finding in report["findings"] if finding["level"] != "note"] == ["same-split"]
    assert [action[:13] for action in report["repair"]["actions"]] == ["val: dropped,"]
    assert {name: split["images"] for name, split in report["repair"]["splits"].items()} == {"train": 29, "val": 7}
    status, printed = check(capsys, tmp_path / "out")
    assert status == 0
    assert "same-split" not in printed


def test_two_copies_are_not_mixed(capsys, place, tmp_path):
    out = tmp_path / "out"
    assert [check(capsys, place, "--fix", out)[0] for _ in range(2)] == [0, 0]
    other = lay(tmp_path / "other", {"train.json": coco("a b"), **pictures("images", "a b")})
    status, printed = check(capsys, other, "--fix", out)
    assert status == 2
    assert "no earlier repair of this data" in printed
    assert "36" in check(capsys, out)[1]


def test_a_val_folder_that_is_missing_does_not_keep_from_training(capsys, place, tmp_path):
    label = {f"set/labels/p{number}.txt": "0 .5 .5 .25 .25" for number in range(36)}
    lay(tmp_path, {**label, "set/data.yaml": "train: images\nval: valid\nnames: [dog]"})
    for name in ("train.json", "val.json"):
        (place / name).unlink()
    _, printed = check(capsys, place, "--no-images", "--fix", tmp_path / "out")
    assert "val is made from train" in printed
    assert "stays left out" not in printed
    assert "missing-folder" not in printed.splitlines()[-1]
