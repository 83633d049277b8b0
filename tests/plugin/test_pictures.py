"""Curves from logs of runs that were interrupted, resumed or started anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lors_det.errors import InputError
from lors_det.plugin.pictures import read_scalars, training_curves


def write_log(work_dir: Path, start: str, epochs: range, ap: float | None = 0.5) -> None:
    """A log of epochs of two iterations each."""
    folder = work_dir / start / "vis_data"
    folder.mkdir(parents=True)
    lines = []
    for epoch in epochs:
        for i in (1, 2):
            lines.append(
                {"loss": 1.0, "s0.loss_cls": 0.6, "s0.loss_bbox": 0.4, "epoch": epoch, "iter": 2 * epoch - 2 + i}
            )
        if ap is not None:
            lines.append({"coco/bbox_mAP": ap, "coco/bbox_mAP_50": ap, "coco/bbox_mAP_75": ap, "step": epoch})
    (folder / "scalars.json").write_text("\n".join(map(json.dumps, lines)))


def steps(work_dir: Path) -> tuple[list[float], list[tuple[float, float]]]:
    train, val = read_scalars(work_dir)
    return [entry["iter"] for entry in train], [(entry["step"], entry["coco/bbox_mAP"]) for entry in val]


def test_a_resumed_run_is_joined(tmp_path):
    write_log(tmp_path, "20260101_000000", range(1, 4), ap=0.1)
    write_log(tmp_path, "20260101_000100", range(3, 5), ap=0.2)
    assert steps(tmp_path) == ([1, 2, 3, 4, 5, 6, 7, 8], [(1, 0.1), (2, 0.1), (3, 0.2), (4, 0.2)])


def test_a_run_that_starts_anew_replaces_a_longer_one(tmp_path):
    write_log(tmp_path, "20260101_000000", range(1, 4), ap=0.1)
    write_log(tmp_path, "20260101_000100", range(1, 2), ap=0.2)
    assert steps(tmp_path) == ([1, 2], [(1, 0.2)])


def test_curves_without_validation(tmp_path):
    write_log(tmp_path, "20260101_000000", range(1, 3), ap=None)
    training_curves(tmp_path, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} holds no log"):
        read_scalars(tmp_path)
