"""Ids of an evaluator's file that pycocotools and mmdet misread, and training sets without a batch or an end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.evaluator import BaseMetric
from torch.utils.data import DataLoader, TensorDataset

from lors_det.errors import InputError
from lors_det.plugin.hooks.data_guard import check_evaluated_ids, check_training_set
from lors_det.plugin.loop.batches import placed

NAMES = ("zebra", "ant")


def metric(folder: Path, ids: tuple[Any, Any], *, first_annotation: int = 1, classwise: bool = True) -> BaseMetric:
    """Of four images with a zebra on the left and an ant on the right of each."""
    content = {
        "images": [{"id": number, "file_name": f"{number}.jpg", "width": 40, "height": 20} for number in range(4)],
        "categories": [{"id": each, "name": name} for each, name in zip(ids, NAMES)],
        "annotations": [
            {
                "id": first_annotation + 2 * number + place,
                "image_id": number,
                "category_id": label,
                "bbox": [20 * place, 2, 10, 8],
                "area": 80,
                "iscrowd": 0,
            }
            for number in range(4)
            for place, label in enumerate(ids)
        ],
    }
    path = folder / "val.json"
    path.write_text(json.dumps(content))
    made = METRICS.build(dict(type="CocoMetric", ann_file=str(path), metric="bbox", classwise=classwise))
    made.dataset_meta = {"classes": NAMES}
    return made


def figures(made: BaseMetric) -> dict[str, float]:
    """Where every zebra is found, and no ant."""
    found = {"bboxes": torch.tensor([[0.0, 2, 10, 10]]), "scores": torch.tensor([0.9]), "labels": torch.tensor([0])}
    samples = [{"img_id": number, "ori_shape": (20, 40), "pred_instances": found} for number in range(4)]
    made.process({}, samples)
    return made.evaluate(size=4)


def test_figures_of_classes_that_would_be_swapped_are_refused(tmp_path: Path) -> None:
    made = metric(tmp_path, (2, 1))
    with pytest.raises(InputError, match=r"ids of categories .*\[2, 1\], do not ascend .* --fix"):
        check_evaluated_ids(made)
    # if this fails, mmdet tells them right and the refusal can go
    assert figures(made)["coco/ant_precision"] > figures(made)["coco/zebra_precision"]
    assert check_evaluated_ids(metric(tmp_path, (2, 1), classwise=False)) is None


@pytest.mark.parametrize("ids", [(1, 2), (3, 90), ("1", "2")])
def test_ascending_ids_are_fine(ids: tuple[Any, Any], tmp_path: Path) -> None:
    made = metric(tmp_path, ids)
    assert check_evaluated_ids(made) is None
    assert figures(made)["coco/zebra_precision"] == 1


@pytest.mark.parametrize("ids", [("9", "10"), (1, "2")])
def test_texts_are_compared_as_pycocotools_does(ids: tuple[Any, Any], tmp_path: Path) -> None:
    assert np.unique(ids).tolist() != list(ids)
    with pytest.raises(InputError, match="do not ascend"):
        check_evaluated_ids(metric(tmp_path, ids))


def test_an_annotation_of_id_0_is_warned_of(tmp_path: Path) -> None:
    made = metric(tmp_path, (1, 2), first_annotation=0)
    assert "always counts as missed" in str(check_evaluated_ids(made))
    assert figures(made)["coco/zebra_precision"] < 1


def test_other_metrics_are_passed_over() -> None:
    made = METRICS.build(dict(type="CocoMetric", metric="bbox"))
    assert check_evaluated_ids(made) is None
    del made._coco_api
    assert check_evaluated_ids(made) is None


def test_a_training_set_of_placed_batches():
    """As the loop of trainings has it, whose loader has a sampler that is none of the config's."""
    images = TensorDataset(torch.arange(3))
    endless = DataLoader(images, batch_size=2, sampler=InfiniteSampler(images))
    few = DataLoader(images, batch_size=4, sampler=DefaultSampler(images), drop_last=True)
    for loader in (endless, placed(endless)[0]):
        with pytest.raises(InputError, match="is an InfiniteSampler, with which no epoch ends"):
            check_training_set(loader, by_epochs=True)
        check_training_set(loader, by_epochs=False)
    for loader in (few, placed(few)[0]):
        with pytest.raises(InputError, match="3 images of this process are fewer than batch_size=4"):
            check_training_set(loader, by_epochs=True)
