"""Annotation files, classes and images: what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from references.tiny import LORS, overrides

from lors_det.errors import InputError
from lors_det.plugin.config.reading import load_config
from lors_det.plugin.dataset import CocoDetection


def open_set(ann_file: Path, **changes) -> CocoDetection:
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="PackDetInputs"),
    ]
    return CocoDetection(
        ann_file=str(ann_file), data_prefix=dict(img=f"{ann_file.parent.parent}/val/"), pipeline=pipeline, **changes
    )


def rewrite(data: Path, tmp_path: Path, change) -> Path:
    """A changed copy of the validation annotations beside the same images."""
    content = json.loads((data / "annotations/val.json").read_text())
    change(content)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val").symlink_to(data / "val")
    path = tmp_path / "annotations" / "val.json"
    path.write_text(json.dumps(content))
    return path


def test_classes_come_from_the_file(data):
    dataset = open_set(data / "annotations/val.json")
    assert dataset.metainfo["classes"] == ("disc", "square", "triangle", "star", "cross", "ring")
    assert len(dataset) == 8
    coco = json.loads((data / "annotations/val.json").read_text())
    labels = sorted(annotation["category_id"] - 1 for annotation in coco["annotations"])
    assert sorted(i["bbox_label"] for info in map(dataset.get_data_info, range(8)) for i in info["instances"]) == labels
    packed = dataset[0]
    assert packed["inputs"].shape == (3, 64, 64)


def test_the_model_gets_the_number_of_classes(data):
    cfg = load_config(LORS, overrides(data))
    assert cfg.model.bbox_head.num_classes == 6
    assert cfg.val_dataloader.dataset.metainfo.classes == cfg.train_dataloader.dataset.metainfo.classes
    assert cfg.train_dataloader.dataset.metainfo.classes[0] == "disc"


def test_category_ids_may_have_gaps(data, tmp_path):
    def spread(content):
        for entry in content["categories"]:
            entry["id"] = entry["id"] * 10 + 3
        for annotation in content["annotations"]:
            annotation["category_id"] = annotation["category_id"] * 10 + 3

    plain, spread_out = open_set(data / "annotations/val.json"), open_set(rewrite(data, tmp_path, spread))
    for left, right in zip(map(plain.get_data_info, range(8)), map(spread_out.get_data_info, range(8))):
        assert [i["bbox_label"] for i in left["instances"]] == [i["bbox_label"] for i in right["instances"]]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["disc", "square", "triangle", "star", "cross"], "extra: ring"),
        (["disc", "square", "triangle", "star", "cross", "ring", "moon"], "missing: moon"),
        (["square", "disc", "triangle", "star", "cross", "ring"], "in another order: square, disc"),
    ],
)
def test_other_classes_are_refused(data, classes, message):
    with pytest.raises(InputError, match=message):
        open_set(data / "annotations/val.json", metainfo=dict(classes=classes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("categories"), 'no list "categories"'),
        (lambda c: c.update(images={}), 'no list "images"'),
        (lambda c: c["annotations"][3].pop("bbox"), r"annotations\[3\] lacks bbox"),
        (lambda c: c["images"][0].pop("width"), r"images\[0\] lacks width"),
        (lambda c: c["annotations"][2].update(category_id=99), "annotation 3 has category_id 99"),
        (lambda c: c["annotations"][2].update(image_id=-1), "annotation 3 has image_id -1"),
        (lambda c: c["categories"][1].update(name="disc"), "categories of the same name: disc"),
        (lambda c: c.update(categories=[]), "lists no categories"),
        (lambda c: c["images"].__setitem__(2, 7), r"images\[2\] lacks id"),
        (lambda c: c["images"][2].update(id=[1]), r"images\[2\]\.id is neither"),
        (lambda c: c["images"][2].update(id=c["images"][3]["id"]), '"images" has the id 3 more than once'),
        (lambda c: c["categories"][2].update(id=1), '"categories" has the id 1 more than once'),
        (lambda c: c["annotations"][2].update(id=1), '"annotations" has the id 1 more than once'),
        (lambda c: c["annotations"][2].pop("area"), r"annotations\[2\] lacks area"),
        (lambda c: c["annotations"][2].update(bbox=[1, 2, 3]), r"annotation 3 has bbox \[1, 2, 3\]"),
        (lambda c: c["annotations"][2].update(bbox=[1, 2, float("nan"), 4]), "annotation 3 has bbox .*nan"),
        (lambda c: c["images"][1].update(width=0), "image 1 is 0 x 64 pixels"),
    ],
)
def test_malformed_annotations_are_named(data, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        open_set(rewrite(data, tmp_path, change))


def test_files_that_are_not_there_or_not_json(tmp_path):
    with pytest.raises(InputError, match=r"none\.json does not exist"):
        open_set(tmp_path / "a" / "none.json")
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(InputError, match=r"cut\.json is not valid JSON"):
        open_set(tmp_path / "cut.json")
    (tmp_path / "mark.json").write_text("{}", encoding="utf-8-sig")
    with pytest.raises(
        InputError, match=r"mark\.json is in utf-8-sig, which pycocotools does not read; write it in UTF-8"
    ):
        open_set(tmp_path / "mark.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match='no list "images"'):
        open_set(tmp_path / "list.json")


def test_bad_images_are_named(data, tmp_path):
    content = json.loads((data / "annotations/val.json").read_text())
    folder = tmp_path / "val"
    folder.mkdir()
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/val.json").write_text(json.dumps(content))
    first, second, third, fourth, fifth = (folder / entry["file_name"] for entry in content["images"][:5])
    first.write_bytes(b"not an image")
    third.write_bytes(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = cv2.imencode(".jpg", noise)[1].tobytes()
    fourth.write_bytes(whole[: len(whole) // 2])
    fifth.touch()
    dataset = open_set(tmp_path / "annotations/val.json")
    for number, path in ((0, first), (3, fourth), (4, fifth)):
        with pytest.raises(InputError, match=f"{path} cannot be decoded"):
            dataset[number]
    with pytest.raises(InputError, match=f"{second} does not exist"):
        dataset[1]
    assert dataset[2]["inputs"].shape == (3, 64, 64)


def test_a_config_without_data_names_the_files(tmp_path):
    with pytest.raises(InputError, match=r"no annotation file exists .*annotations/train\.json"):
        load_config(LORS, overrides(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"none\.py does not exist"):
        load_config(tmp_path / "none.py")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: dict(type="RepeatDataset", times=2, dataset=inner),
        lambda inner: dict(type="ConcatDataset", datasets=[inner, inner]),
    ],
)
def test_wrapped_datasets_get_the_classes(data, wrap):
    inner = load_config(LORS, overrides(data)).train_dataloader.dataset
    del inner["metainfo"]
    wrapped = {**wrap(inner), "_delete_": True}
    cfg = load_config(LORS, {**overrides(data), "train_dataloader": dict(dataset=wrapped)})
    assert cfg.model.bbox_head.num_classes == 6
    assert DATASETS.build(cfg.train_dataloader.dataset).metainfo["classes"][5] == "ring"


def test_a_set_without_annotations(data, tmp_path):
    """A published test set has none; training on it is an error."""
    path = rewrite(data, tmp_path, lambda content: content.pop("annotations"))
    assert len(open_set(path, test_mode=True)) == 8
    with pytest.raises(InputError, match='no list "annotations"'):
        open_set(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    with pytest.raises(InputError, match="leaves nothing to train on: it lists 8 images"):
        open_set(path, filter_cfg=dict(filter_empty_gt=True))


def test_classes_are_compared_between_files_and_with_the_model(data, tmp_path):
    with pytest.raises(InputError, match="num_classes is 5, but the data has 6 classes: disc"):
        load_config(LORS, {**overrides(data), "model.bbox_head.num_classes": 5})
    turned = rewrite(data, tmp_path, lambda content: content["categories"].reverse())
    cfg = load_config(
        LORS,
        {
            **overrides(data),
            "model.bbox_head.num_classes": 6,
            "val_dataloader.dataset.ann_file": str(turned),
            "val_evaluator.ann_file": str(turned),
        },
    )
    with pytest.raises(InputError, match="in another order"):
        DATASETS.build(cfg.train_dataloader.dataset)


def test_an_evaluator_of_another_file_is_refused(data):
    other = {"val_evaluator.ann_file": str(data / "annotations/train.json")}
    with pytest.raises(
        InputError, match=r"val_evaluator\.ann_file is .*train\.json, but val_dataloader evaluates .*val\.json"
    ):
        load_config(LORS, {**overrides(data), **other})


def test_a_broken_config_is_named(tmp_path):
    for text in ("model = dict(", '_base_ = "none.py"', "model = undefined"):
        (tmp_path / "broken.py").write_text(text)
        with pytest.raises(InputError, match=r"broken\.py cannot be read"):
            load_config(tmp_path / "broken.py")
