"""Wrong input of every kind ends with one message that names what, where and the remedy: no traceback, status 2."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from references.tiny import make_data, write_config

from lors_det.cli import run

Case = Callable[[Path], list[object]]
"""Makes a wrong input in a folder; returns the words of a command."""


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A config and its data, sets of photographs in three forms, and checkpoints."""
    folder = tmp_path_factory.mktemp("source")
    write_config(folder / "tiny.py", make_data(folder / "shapes"), **{"train_cfg.max_epochs": 1})
    for form in ("coco", "voc", "yolo"):
        FORMS[form](folder / form)
    torch.save({"state_dict": {"weight": torch.zeros(3)}, "meta": {}}, folder / "other.pth")
    return folder


def photographs(folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    names = [f"{number}.png" for number in range(12)]
    for number, name in enumerate(names):
        Image.new("RGB", (64, 48), (number * 20, 90, 10)).save(folder / name)
    return names


def coco(folder: Path) -> None:
    names = photographs(folder / "train")
    images = [dict(id=number, file_name=name, width=64, height=48) for number, name in enumerate(names)]
    boxes = [
        dict(id=number, image_id=number, category_id=1, bbox=[4, 4, 20, 20], area=400, iscrowd=0)
        for number in range(len(names))
    ]
    content = dict(images=images, annotations=boxes, categories=[dict(id=1, name="cat")])
    (folder / "train/_annotations.coco.json").write_text(json.dumps(content))


def voc(folder: Path) -> None:
    names = photographs(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    for name in names:
        (folder / "Annotations" / f"{Path(name).stem}.xml").write_text(
            f"<annotation><filename>{name}</filename><size><width>64</width><height>48</height></size><object>"
            "<name>cat</name><bndbox><xmin>4</xmin><ymin>4</ymin><xmax>24</xmax><ymax>24</ymax></bndbox></object>"
            "</annotation>"
        )


def yolo(folder: Path) -> None:
    names = photographs(folder / "images")
    (folder / "labels").mkdir()
    for name in names:
        (folder / "labels" / f"{Path(name).stem}.txt").write_text("0 0.5 0.5 0.3 0.3\n")
    (folder / "data.yaml").write_text("train: images\nnc: 1\nnames: [cat]\n")


FORMS = {"coco": coco, "voc": voc, "yolo": yolo}


def train(*words: object, config: str = "tiny.py") -> Case:
    return lambda folder: ["train", folder / config, "--work-dir", folder / "run", *words]


def options(*values: str) -> Case:
    return train("--cfg-options", *values)


def written_config(text: str) -> Case:
    def make(folder: Path) -> list[object]:
        (folder / "own.py").write_text(text)
        return train(config="own.py")(folder)

    return make


def on_data(form: str, change: Callable[[Path], object]) -> Case:
    def make(folder: Path) -> list[object]:
        change(folder / form)
        return ["check-data", folder / form]

    return make


def in_json(change: Callable[[dict], object]) -> Case:
    def edit(folder: Path) -> None:
        path = folder / "train/_annotations.coco.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return on_data("coco", edit)


def text_of(form: str, file: str, text: str) -> Case:
    return on_data(form, lambda folder: (folder / file).write_text(text))


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("hostile_was_here",)


def checkpoint(write: Callable[[Path], object], *command: object) -> Case:
    """A command on ``bad.pth``, which stands for itself in its words."""

    def make(folder: Path) -> list[object]:
        write(folder / "bad.pth")
        places = {"BAD": folder / "bad.pth", "CONFIG": folder / "tiny.py", "IMAGE": folder / "coco/train/0.png"}
        return [*(places.get(str(word), word) for word in command)]

    return make


def hostile(path: Path) -> None:
    torch.save({"state_dict": {}, "meta": {"x": Hostile()}}, path)


def of_a_missing_module(path: Path) -> None:
    path.write_bytes(b"\x80\x02cmodule_of_others\nThing\n.")  # a pickle, as torch wrote them before it wrote archives


def truncated(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(10000)}}, path)
    path.write_bytes(path.read_bytes()[:5000])


TEST = ("test", "CONFIG", "BAD")
INFER = ("infer", "IMAGE", "--checkpoint", "BAD")
RESUME = ("train", "CONFIG", "--resume", "BAD", "--work-dir", "run")
LOAD = ("train", "CONFIG", "--load-from", "BAD", "--work-dir", "run")
COUNTED = ("count-params", "CONFIG")

CASES: dict[str, tuple[Case, str]] = {
    # configs
    "no such config": (train(config="gone.py"), r"gone\.py"),
    "a config that is no Python": (written_config("model = dict(\n"), r"own\.py"),
    "a base that is not there": (written_config('_base_ = ["gone.py"]\n'), r"gone\.py"),
    "a config that imports what is not there": (written_config('_base_ = ["tiny.py"]\nimport gone\n'), r"gone"),
    "a key that nothing reads": (written_config('_base_ = ["tiny.py"]\nmodell = dict()\n'), r"modell.*model"),
    "an option that nothing reads": (options("optim_wrapper.optimizer.lrr=1"), r"lrr.*lr"),
    "an option without a value": (options("train_cfg.max_epochs"), r"train_cfg\.max_epochs.*key=value"),
    "brackets that do not match": (options("custom_hooks=[dict(type='EMAHook']"), r"custom_hooks.*no value"),
    "an option that calls something": (options("custom_hooks=[dict(type=open('x'))]"), r"custom_hooks.*no value"),
    "hooks that are a word": (options("custom_hooks=EMAHook"), r"custom_hooks.*must be a list"),
    "an option inside what is no dictionary": (options("train_cfg.max_epochs.more=1"), r"max_epochs"),
    "no such backbone": (options("model.backbone.type=ResNett"), r"ResNett"),
    "heads that do not divide": (options("model.bbox_head.decoder.num_heads=5"), r"num_heads=5"),
    "K for too few stages": (
        options("model.bbox_head.decoder.adaptive_groups=[1,2]"),
        r"has 2 values for 4 stages",
    ),
    "no queries": (options("model.bbox_head.num_queries=0"), r"num_queries"),
    "a structure that is none": (options("model.bbox_head.decoder.share=(0,0,9,0)"), r"share"),
    "no epochs": (train("--epochs", "0"), r"epochs"),
    "epochs that are no number": (options("train_cfg.max_epochs=five"), r"max_epochs.*five"),
    "an empty batch": (train("--batch-size", "0"), r"batch"),
    "a rate that is no number": (options("optim_wrapper.optimizer.lr=fast"), r"lr.*fast"),
    "a word that is none of two": (options("train_cfg.when_not_finite=go"), r"when_not_finite.*stop.*skip"),
    "a figure that there is not": (options("default_hooks.checkpoint.save_best=coco/AP"), r"save_best|coco/AP"),
    # folders of data
    "no such folder": (train("--data", "gone"), r"gone"),
    "an empty folder": (on_data("empty", Path.mkdir), r"Found: no file"),
    "JSON that is none": (
        text_of("coco", "train/_annotations.coco.json", "{"),
        r"train/_annotations\.coco\.json is no JSON",
    ),
    "JSON that is a list": (
        text_of("coco", "train/_annotations.coco.json", "[]"),
        r"_annotations\.coco\.json holds a list",
    ),
    "JSON without images": (in_json(lambda c: c.pop("images")), r"_annotations\.coco\.json has no list of images:"),
    "JSON without categories": (
        in_json(lambda c: c.pop("categories")),
        r"_annotations\.coco\.json has no list of categories:",
    ),
    "a category that there is not": (
        in_json(lambda c: c["annotations"][2].update(category_id=9)),
        r"class-range .*annotations\[2\] is of the category 9",
    ),
    "the same id twice": (in_json(lambda c: c["images"][2].update(id=1)), r"duplicate-image-id .*the image id 1"),
    "a class that there is not": (
        text_of("yolo", "labels/2.txt", "7 0.5 0.5 0.3 0.3\n"),
        r"class-range .*labels/2\.txt, line 1: the class is 7",
    ),
    "YAML that is none": (text_of("yolo", "data.yaml", "names: [cat\n"), r"data\.yaml"),
    # checkpoints
    "no suffix of a pickle": (checkpoint(truncated, *TEST, "--out", "a.json"), r"must end in \.pkl"),
    "no such checkpoint": (checkpoint(lambda path: None, *TEST), r"bad\.pth does not exist"),
    "a folder for a checkpoint": (checkpoint(Path.mkdir, *TEST), r"bad\.pth is a folder"),
    "a checkpoint of text": (checkpoint(lambda path: path.write_text("text"), *INFER), r"bad\.pth"),
    "an empty checkpoint": (checkpoint(Path.touch, *INFER), r"bad\.pth"),
    "a checkpoint of a list": (checkpoint(lambda path: torch.save([1], path), *TEST), r"bad\.pth holds a list"),
    "a truncated one, tested": (checkpoint(truncated, *TEST), r"bad\.pth.*truncated"),
    "a truncated one, resumed": (checkpoint(truncated, *RESUME), r"bad\.pth.*truncated"),
    "a hostile one, tested": (checkpoint(hostile, *TEST), r"bad\.pth holds more than plain data"),
    "a hostile one, resumed": (checkpoint(hostile, *RESUME), r"bad\.pth holds more than plain data"),
    "a hostile one, fine-tuned": (checkpoint(hostile, *LOAD), r"bad\.pth holds more than plain data"),
    "a hostile one, used": (checkpoint(hostile, *INFER), r"bad\.pth holds more than plain data"),
    "a hostile one, converted": (checkpoint(hostile, "convert", "BAD", "out.pth"), r"bad\.pth holds more than plain"),
    "trust in no file": (train("--trust-checkpoint"), r"trusts no file.*--load-from"),
    "trust in the work dir's last": (train("--trust-checkpoint", "--resume"), r"trusts no file.*--load-from"),
    "a trusted one that is truncated": (checkpoint(truncated, *TEST, "--trust-checkpoint"), r"bad\.pth.*truncated"),
    "a trusted one of a module that is not there": (
        checkpoint(of_a_missing_module, *INFER, "--trust-checkpoint"),
        r"bad\.pth.*not installed.*module_of_others",
    ),
    "weights alone, resumed": (
        checkpoint(lambda path: torch.save({"state_dict": {"weight": torch.zeros(3)}}, path), *RESUME),
        r"weights alone.*--load-from",
    ),
    "of another model": (
        checkpoint(lambda path: torch.save({"state_dict": {"weight": torch.zeros(3)}, "meta": {}}, path), *TEST),
        r"another model",
    ),
    # the command line
    "no image to look at": (
        checkpoint(lambda path: path.touch(), "infer", "gone.jpg", "--checkpoint", "BAD"),
        r"gone\.jpg does not exist",
    ),
    "a size of one number": (checkpoint(lambda path: None, *COUNTED, "--shape", "5"), r"--shape"),
    "a run without a log": (lambda folder: ["plot-curves", folder, folder / "curves.png"], r"log|scalars"),
    "predictions that are none": (
        checkpoint(lambda path: path.write_text("x"), "draw-sheet", "CONFIG", "BAD", "sheet.png"),
        r"bad\.pth",
    ),
    "predictions that are not there": (
        lambda folder: ["draw-sheet", folder / "tiny.py", "gone.pkl", "sheet.png"],
        r"gone\.pkl does not exist",
    ),
    "predictions of another kind": (
        checkpoint(
            lambda path: path.with_suffix(".pkl").write_bytes(pickle.dumps([{"a": 1}])),
            "draw-sheet",
            "CONFIG",
            "bad.pkl",
            "sheet.png",
        ),
        r"bad\.pkl is no list of predictions",
    ),
    "an image in the place of a checkpoint": (
        checkpoint(lambda path: path.write_bytes(b"\xff\xd8\xff"), *INFER),
        r"bad\.pth is no file that torch or safetensors wrote",
    ),
    "no folder, by a variable that is not set": (
        lambda folder: ["check-data", ""],
        r"argument FOLDER_OR_CONFIG: it is empty; is a variable not set\?",
    ),
    "no data, by a variable that is not set": (train("--data", ""), r"argument --data: it is empty"),
    "a sheet that is no PNG": (lambda folder: ["draw-sheet", "tiny.py", "gone.pkl", "sheet"], r"sheet.*end in \.png"),
    "a threshold of no score": (
        lambda folder: ["choose-threshold", "tiny.py", "gone.pkl", "--score-threshold", "30"],
        r"--score-threshold is 30\.0; it must be between 0 and 1",
    ),
    "a match of no overlap": (
        lambda folder: ["choose-threshold", "tiny.py", "gone.pkl", "--iou", "0"],
        r"--iou is 0\.0; it must be above 0",
    ),
    "a choice without predictions": (
        lambda folder: ["choose-threshold", folder / "tiny.py", "gone.pkl"],
        r"gone\.pkl does not exist; lors-det test",
    ),
    "a choice by what are no predictions": (
        lambda folder: ["choose-threshold", folder / "tiny.py", folder / "tiny.py"],
        r"tiny\.py has not the suffix of predictions, \.pkl; lors-det test",
    ),
    "a sheet of no images": (
        lambda folder: ["draw-sheet", "tiny.py", "gone.pkl", "sheet.png", "--num-images", "0"],
        r"--num-images is 0",
    ),
    "curves of an unknown form": (lambda folder: ["plot-curves", folder, "curves.xyz"], r"curves\.xyz.*end in \.png"),
    "a picture in no folder": (
        lambda folder: ["check-data", folder / "coco", "--picture", "gone/picture.png"],
        r"gone/picture\.png: its folder does not exist",
    ),
    "no such VOC folder": (
        lambda folder: ["voc-to-coco", folder / "gone", folder / "out.json", "--split", "train"],
        r"gone",
    ),
    "shapes of no images": (lambda folder: ["make-shapes", folder / "new", "--num-train", "-1"], r"num.train"),
}

TOLD: dict[str, tuple[Case, str]] = {
    "a box of three numbers": (
        in_json(lambda c: c["annotations"][2].update(bbox=[1, 2, 3])),
        r"malformed-box .*\[1, 2, 3\]",
    ),
    "a box of words": (
        in_json(lambda c: c["annotations"][2].update(bbox=["a", "b", "c", "d"])),
        r"malformed-box .*'a', 'b'",
    ),
    "a box that is no number": (
        in_json(lambda c: c["annotations"][2].update(bbox=[float("nan"), 1, 2, 3])),
        r"malformed-box .*\[nan,",
    ),
    "an image that there is not": (
        in_json(lambda c: c["annotations"][2].update(image_id=99)),
        r"unknown-image .*the image 99",
    ),
    "an image file that is gone": (
        in_json(lambda c: c["images"][2].update(file_name="gone.png")),
        r"missing-image .*gone\.png",
    ),
    "a path out of the folder": (
        in_json(lambda c: c["images"][2].update(file_name="../../secret.png")),
        r"missing-image .*\.\./\.\./secret\.png",
    ),
    "XML that is none": (text_of("voc", "Annotations/2.xml", "<annotation>"), r"malformed-file .*2\.xml: line 1"),
    "XML with a bomb": (
        text_of("voc", "Annotations/2.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>'),
        r"no XML file.*2\.png",
    ),
    "XML without a corner": (
        text_of(
            "voc",
            "Annotations/2.xml",
            "<annotation><object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object></annotation>",
        ),
        r"malformed-box .*2\.xml.*<bndbox/ymin>",
    ),
    "a line of three numbers": (
        text_of("yolo", "labels/2.txt", "0 0.5 0.5\n"),
        r"malformed-line .*2\.txt, line 1: 3 values",
    ),
    "a line of words": (text_of("yolo", "labels/2.txt", "cat a b c d\n"), r"malformed-line .*2\.txt, line 1"),
    "YAML of another number of classes": (
        text_of("yolo", "data.yaml", "train: images\nnc: 3\nnames: [cat]\n"),
        r"class-count .*nc is 3",
    ),
    "an image that is none": (text_of("yolo", "images/2.png", "no image"), r"unreadable-image .*2\.png"),
}
"""One fault among a dozen good images: it is left out, and the rest is sound, so that training makes sense."""


@pytest.fixture
def folder(source, tmp_path, monkeypatch) -> Path:
    """A copy of the sources that a case may spoil."""
    for path in source.iterdir():
        if path.name == "tiny.py":
            shutil.copy(path, tmp_path)
        elif path.is_dir() and path.name != "shapes":
            shutil.copytree(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_it_ends_the_command(folder, capfd, name):
    make, words = CASES[name]
    command, *arguments = map(str, make(folder))
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(command, arguments)
    said = "".join(capfd.readouterr())
    assert ended.value.code == (1 if command == "check-data" and "error: " not in said else 2), said
    assert "Traceback" not in said
    last = said.strip().rpartition("error: ")[2]
    assert re.search(f"(?s){words}", last), last
    assert not (folder / "hostile_was_here").exists()


@pytest.mark.parametrize("name", TOLD)
def test_it_is_told_of(folder, capfd, name):
    make, words = TOLD[name]
    command, *arguments = map(str, make(folder))
    run(command, arguments)
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert re.search(f"(?s){words}", said), said
