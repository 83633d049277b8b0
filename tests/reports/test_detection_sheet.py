"""A sheet of detections has each beside its truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset

from lors_det.errors import InputError
from lors_det.reports.detection_sheet import detection_sheet
from lors_det.reports.sheet import CELL_PX, GAP_PX, LINE_PX


class Set(BaseDataset):
    """Of pictures, each with an object of its own class."""

    METAINFO: ClassVar = {"classes": ("_a$x_$y$\\frac$", "日本")}

    def __init__(self, folder: Path, *shapes: tuple[int, int]) -> None:
        super().__init__(lazy_init=True, serialize_data=False)
        self.data_list = []
        for number, (height, width) in enumerate(shapes):
            path = str(folder / f"{number}.png")
            cv2.imwrite(path, np.full((height, width, 3), 128, np.uint8))
            box = [0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]
            self.data_list.append(
                {"img_path": path, "instances": [dict(bbox=box, bbox_label=number % 2, ignore_flag=0)]}
            )
        self._fully_initialized = True


def found_in(dataset: Set) -> list[dict[str, Any]]:
    """Each object twice, with a high and a low score."""
    predictions = []
    for number in range(len(dataset)):
        info = dataset.get_data_info(number)
        boxes = torch.tensor([info["instances"][0]["bbox"]] * 2)
        values = dict(bboxes=boxes, labels=torch.tensor([number % 2, 0]), scores=torch.tensor([0.2, 0.9]))
        predictions.append({"img_path": info["img_path"], "pred_instances": values})
    return predictions


def test_each_image_has_its_truth_and_its_best_detections(tmp_path, monkeypatch):
    """By its name, in the order of their scores."""
    written = []
    monkeypatch.setattr("lors_det.reports.detection_sheet.write_sheet", lambda *given: written.append(given))
    dataset = Set(tmp_path, (64, 64), (40, 80))
    predictions = found_in(dataset)
    predictions[1]["pred_instances"]["scores"] = torch.tensor([0.4, 0.9])
    detection_sheet(dataset, predictions, tmp_path / "sheet.png")
    ((samples, path, title),) = written
    assert path == tmp_path / "sheet.png"
    assert "score 0.3 or more" in title
    first, found, second, both = samples
    assert (first.title, second.title) == ("0.png", "1.png")
    assert found.title == "detections"
    assert first.scores is second.scores is None
    assert second.boxes.tolist() == [[20, 10, 60, 30]]
    assert [*second.labels] == [1]
    assert [*second.names] == ["日本"]
    assert found.scores == pytest.approx([0.9])
    assert both.scores == pytest.approx([0.9, 0.4])
    assert [*both.labels] == [0, 1]
    assert both.image.shape == (40, 80, 3)


def test_images_of_any_shape_and_classes_of_any_name(tmp_path, recwarn):
    dataset = Set(tmp_path, (64, 64), (1, 900), (9000, 30))
    detection_sheet(dataset, found_in(dataset), tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] == GAP_PX + 4 * (CELL_PX + GAP_PX)
    assert 2 * CELL_PX < sheet.shape[0] < 2 * CELL_PX + 6 * LINE_PX
    assert not [str(warning.message) for warning in recwarn if "lyph" in str(warning.message)]


def test_what_is_not_of_the_set_is_named(tmp_path):
    dataset = Set(tmp_path, (64, 64))
    (prediction,) = found_in(dataset)
    prediction["pred_instances"]["labels"] = torch.tensor([0, 2])
    with pytest.raises(InputError, match=r"0\.png: .* labels beyond the 2 classes of the set"):
        detection_sheet(dataset, [prediction], tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()
