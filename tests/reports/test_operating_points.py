"""Precision, recall and F1 at a threshold, against a count by hand and against matching written out."""

from __future__ import annotations

from io import StringIO
from math import isnan
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset
from references.own_data import coco, lay, pictures
from rich.console import Console
from torchvision.ops import box_iou

from lors_det.errors import InputError
from lors_det.plugin.dataset import CocoDetection
from lors_det.reports.matching import matches_of
from lors_det.reports.operating_points import Matches, all_classes, curves, table_of

CLASSES = ("fish", "ray", "none")


class Images(list):
    """As a dataset in test mode: a list of images, each a list of (label, box, is a crowd)."""

    metainfo = {"classes": CLASSES}  # noqa: RUF012

    def get_data_info(self, number: int) -> dict[str, Any]:
        return {
            "instances": [
                {"bbox": box, "bbox_label": label, "ignore_flag": int(crowd)} for label, box, crowd in self[number]
            ]
        }


def predicted(*detections: tuple[int, list[float], float]) -> dict[str, Any]:
    labels, boxes, scores = zip(*detections) if detections else ((), (), ())
    return {
        "pred_instances": {
            "labels": torch.tensor(labels, dtype=torch.long),
            "bboxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "scores": torch.tensor(scores, dtype=torch.float32),
        }
    }


def square(x: float, side: float = 10) -> list[float]:
    return [x, 0.0, x + side, side]


def test_a_count_by_hand():
    """Two detections of one object, another class on an object, a crowd, and an image without objects."""
    truth = Images(
        [
            [(0, square(0), False), (0, square(100), False), (1, square(200), False), (0, square(300, 50), True)],
            [],
        ]
    )
    predictions = [
        predicted(
            (0, square(1), 0.9),  # right: IoU 0.82
            (0, square(0), 0.8),  # wrong: the object is taken by the one of higher score
            (0, square(104), 0.7),  # IoU 0.43: wrong at 0.5, right at 0.4
            (0, square(200), 0.6),  # wrong: of another class
            (1, square(200), 0.5),  # right
            (0, square(310), 0.4),  # inside of a crowd: counts neither way
        ),
        predicted((1, square(0), 0.95)),  # wrong
    ]
    matches = matches_of(truth, predictions, iou=0.5)
    assert list(matches) == list(CLASSES)
    assert [each.num_objects for each in matches.values()] == [2, 1, 0]
    fish, ray, none = ([sorted(scores.round(4).tolist()) for scores in each[1:]] for each in matches.values())
    assert fish == [[0.9], [0.6, 0.7, 0.8]]
    assert ray == [[0.5], [0.95]]
    assert none == [[], []]
    assert matches["fish"].at(0.75) == (0.75, 1 / 2, 1 / 2, 1 / 2)
    assert matches["ray"].at(0.3) == (0.3, 1 / 2, 1, 2 / 3)
    point = matches["ray"].at(0.96)
    assert isnan(point.precision)
    assert (point.recall, point.f1) == (0, 0)
    assert all(isnan(part) for part in matches["none"].at(0.5)[1:])
    assert all_classes(matches).at(0.85) == (0.85, 1 / 2, 1 / 3, 2 / 5)
    assert sorted(matches_of(truth, predictions, iou=0.4)["fish"].right.round(4)) == [0.7, 0.9]


def test_matches_are_those_of_a_greedy_search():
    """Many random boxes: each detection takes, by its score, the free object of its class that it covers best."""
    generator = torch.Generator().manual_seed(0)
    truth, predictions = Images(), []
    expected = {name: ([], []) for name in CLASSES}
    for _ in range(20):
        corner = torch.rand(40, 2, generator=generator) * 40
        boxes = torch.cat([corner, corner + 10 + torch.rand(40, 2, generator=generator) * 20], dim=1)
        labels, scores = torch.randint(0, 2, (40,), generator=generator), torch.rand(40, generator=generator)
        objects, found = slice(0, 12), slice(12, 40)
        truth.append([(int(label), box.tolist(), False) for label, box in zip(labels[objects], boxes[objects])])
        predictions.append(predicted(*zip(labels[found].tolist(), boxes[found].tolist(), scores[found].tolist())))
        overlap = box_iou(boxes[found].double(), boxes[objects].double())
        overlap[labels[found, None] != labels[objects]] = 0
        for number in scores[found].argsort(descending=True).tolist():
            best = int(overlap[number].argmax())
            is_right = bool(overlap[number, best] >= 0.5)
            if is_right:
                overlap[:, best] = 0
            expected[CLASSES[labels[found][number]]][not is_right].append(scores[found][number].item())
    matches = matches_of(truth, predictions, iou=0.5)
    assert sum(len(right) for right, _ in expected.values()) > 40
    for name, (right, wrong) in expected.items():
        np.testing.assert_array_equal(np.sort(matches[name].right), np.sort(right))
        np.testing.assert_array_equal(np.sort(matches[name].wrong), np.sort(wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        (0, square(0), float("nan")),
        (0, square(0), 2.1),
        (0, [float("nan")] * 4, 0.5),
        (3, square(0), 0.5),
        (-1, square(0), 0.5),
    ],
)
def test_what_is_no_detection_is_named(wrong):
    with pytest.raises(InputError, match=r"image 1: .*scores that are none from 0 to 1, or labels beyond"):
        matches_of(Images([[], []]), [predicted(), predicted(wrong)], iou=0.5)


def test_parts_that_do_not_belong_together_are_named():
    parts = {"bboxes": torch.zeros(1, 4), "scores": torch.zeros(2), "labels": torch.zeros(2, dtype=torch.long)}
    with pytest.raises(InputError, match=r"image 0: 1 boxes, 2 scores and 2 labels do not belong together"):
        matches_of(Images([[]]), [{"pred_instances": parts}], iou=0.5)
    lists = {name: part.tolist() for name, part in parts.items()}
    with pytest.raises(InputError, match=r"image 0: predictions that are no tensors"):
        matches_of(Images([[]]), [{"pred_instances": lists}], iou=0.5)


@pytest.mark.parametrize(
    ("name", "part"), [("scores", torch.zeros(1, 1)), ("labels", torch.zeros(1)), ("labels", torch.zeros(1, 1).long())]
)
def test_parts_of_another_form_are_named(name, part):
    parts = {"bboxes": torch.zeros(1, 4), "scores": torch.zeros(1), "labels": torch.zeros(1, dtype=torch.long)}
    with pytest.raises(InputError, match=r"image 0: scores of shape .* each must be one for a box, and labels whole"):
        matches_of(Images([[]]), [{"pred_instances": {**parts, name: part}}], iou=0.5)


def test_a_threshold_is_compared_in_the_type_of_the_scores():
    """As infer does: .7 of a detector, in 32 bits, is less than .7 of Python."""
    matches = matches_of(Images([[(0, square(0), False)]]), [predicted((0, square(0), 0.7))], iou=0.5)["fish"]
    assert matches.right[0] < 0.7
    assert matches.at(0.7).recall == 1
    assert matches.at(0.71).recall == 0


def test_objects_are_those_of_the_annotation_file(tmp_path):
    """Also such as training passes over, which the evaluation counts; crowds count neither way there."""
    files = coco("a b", boxes=[(4, 2, 10, 8)])
    kept = files["annotations"][0]
    odd = [{"ignore": 1}, {"area": 0}, {"bbox": [1, 1, 0.5, 6]}, {"bbox": [70, 2, 9, 9]}, {"iscrowd": 1}]
    files["annotations"] = [{**kept, "id": number, **each} for number, each in enumerate(odd, start=1)]
    lay(tmp_path, {"val.json": files, **pictures("", "a b")})
    names = tuple(each["name"] for each in files["categories"])
    dataset = CocoDetection(
        ann_file=str(tmp_path / "val.json"),
        data_prefix=dict(img=f"{tmp_path}/"),
        metainfo=dict(classes=names),
        test_mode=True,
    )
    label = dataset.cat2label[kept["category_id"]]
    x, y, w, h = kept["bbox"]
    found = [(label, [x, y, x + w, y + h], 0.9), (label, [70.0, 2.0, 79.0, 11.0], 0.8)]
    images = [predicted(*found), predicted()]
    own = matches_of(dataset, images, iou=0.5)[names[label]]
    assert own.num_objects == 4
    assert (own.right.tolist(), own.wrong.tolist()) == (pytest.approx([0.9, 0.8]), [])
    joined = ConcatDataset([dataset, dataset])
    assert matches_of(joined, images * 2, iou=0.5)[names[label]].num_objects == 8


def test_a_test_set_may_have_no_annotations(tmp_path):
    """As those are published whose boxes others keep."""
    files = coco("a b", boxes=[(4, 2, 10, 8)])
    del files["annotations"]
    lay(tmp_path, {"test.json": files, **pictures("", "a b")})
    classes = tuple(each["name"] for each in files["categories"])
    place = dict(ann_file=str(tmp_path / "test.json"), data_prefix=dict(img=f"{tmp_path}/"))
    dataset = CocoDetection(**place, metainfo=dict(classes=classes), test_mode=True)
    matches = matches_of(dataset, [predicted((0, square(0), 0.9)), predicted()], iou=0.5)
    assert [each.num_objects for each in matches.values()] == [0] * len(classes)


def test_what_lacks_a_part_is_named():
    masks = {"pred_instances": {"masks": torch.zeros(0), "scores": torch.zeros(0)}}
    with pytest.raises(InputError, match=r"image 1: predictions without bboxes, labels; .* not what a detector found"):
        matches_of(Images([[], []]), [predicted(), masks], iou=0.5)


def test_classes_of_one_name_are_named():
    images = Images([[]])
    images.metainfo = {"classes": ("fish", "ray", "fish")}
    with pytest.raises(InputError, match=r"classes are fish, ray, fish, two of one name"):
        matches_of(images, [predicted()], iou=0.5)


def test_the_best_is_the_middle_of_those_that_are_alike():
    matches = Matches(2, right=np.array([0.8, 0.7]), wrong=np.array([0.2]))
    best = matches.best()
    assert best[1:] == (1, 1, 1)
    assert best.threshold == pytest.approx((0.21 + 0.70) / 2, abs=0.006)
    assert Matches(2, right=np.zeros(0), wrong=np.zeros(0)).best().f1 == 0
    assert isnan(Matches(0, right=np.zeros(0), wrong=np.zeros(0)).best().f1)


def test_the_table_and_the_picture(tmp_path, drawn):
    matches = {
        "fish [red]": Matches(2, right=np.array([0.8, 0.7]), wrong=np.array([0.2])),
        "ray": Matches(1, right=np.array([0.4]), wrong=np.array([0.5, 0.95])),
        "none": Matches(0, right=np.zeros(0), wrong=np.zeros(0)),
    }
    console = Console(width=100, record=True, file=StringIO())
    console.print(table_of(matches, iou=0.75))
    text = console.export_text()
    assert "IoU of 0.75 or more" in text
    rows = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]] for line in text.splitlines()
            if line.startswith("│")}  # fmt: skip
    assert rows["fish [red]"][:5] == ["2", "0.46", "1.000", "1.000", "1.000"]
    assert rows["none"] == ["0", *"-------"]
    assert rows["all"][0] == "3"
    console.print(table_of(matches, iou=0.5, threshold=0.9))
    row = next(line for line in console.export_text().splitlines() if line.startswith("│ ray"))
    assert [cell.strip() for cell in row.split("│")[2:-1]] == ["1", "0.000", "0.000", "0.000"]
    narrow = Console(width=50, record=True, file=StringIO())
    narrow.print(table_of(matches, iou=0.5))
    assert narrow.export_text().count("0.46") == 1, "figures are whole where there is little room"
    for threshold in (None, 0.3):
        curves(matches, tmp_path / "curves.png", threshold)
        assert cv2.imread(str(tmp_path / "curves.png")).std() > 10
    named = {"_a$x_$": matches["ray"], "b$\\frac$": matches["fish [red]"]}
    curves(named, tmp_path / "named.png")
    (figure,) = drawn[-1:]
    assert [text.get_text().strip() for text in figure.axes[1].get_legend().get_texts()] == ["b$\\frac$", "_a$x_$"]
    curves({"missed": Matches(3, right=np.zeros(0), wrong=np.array([0.4]))}, tmp_path / "missed.png")
    assert [text.get_text() for text in drawn[-1].axes[1].get_legend().get_texts()] == ["missed (none found)"]
    curves({"none": matches["none"]}, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").is_file()
