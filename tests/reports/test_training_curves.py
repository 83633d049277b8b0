"""Curves from logs of runs that were interrupted, resumed or started anew."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes

from lors_det.errors import InputError
from lors_det.reports.scalars import read_scalars
from lors_det.reports.training_curves import training_curves


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


def test_a_validation_is_replaced_that_comes_before_the_first_losses_of_a_log(tmp_path):
    """A training by iterations that goes on from 120, validates at 125 and logs every ten steps."""
    for start, entries in (
        ("20260101_000000", [{"loss": 1.0, "iter": 120}, {"coco/bbox_mAP": 0.2, "step": 125}]),
        ("20260101_000100", [{"coco/bbox_mAP": 0.21, "step": 125}, {"loss": 1.0, "iter": 130}]),
    ):
        folder = tmp_path / start / "vis_data"
        folder.mkdir(parents=True)
        (folder / "scalars.json").write_text("\n".join(map(json.dumps, entries)))
    assert steps(tmp_path) == ([120, 130], [(125, 0.21)])


def curves(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """Points of each curve by its label."""
    return {str(line.get_label()): list(map(tuple, np.asarray(line.get_xydata()).tolist())) for line in axes.lines}


def test_curves_are_what_was_logged(tmp_path, drawn):
    """The loss of each stage over iterations, and AP at the last iteration of its epoch."""
    write_log(tmp_path, "20260101_000000", range(1, 3), ap=0.1)
    write_log(tmp_path, "20260101_000100", range(3, 4), ap=0.25)
    training_curves(tmp_path, tmp_path / "curves.png")
    losses, precision = drawn[0].axes
    assert curves(losses) == {"stage 0": [(i, pytest.approx(1.0)) for i in range(1, 7)]}
    points = [(2, 0.1), (4, 0.1), (6, 0.25)]
    assert curves(precision) == {f"{name}  0.250": points for name in ("AP50", "AP", "AP75")}
    legend = [text.get_text() for text in precision.get_legend().get_texts()]
    assert legend == ["AP50  0.250", "AP  0.250", "AP75  0.250"]


def test_curves_without_validation(tmp_path, drawn):
    write_log(tmp_path, "20260101_000000", range(1, 3), ap=None)
    training_curves(tmp_path, tmp_path / "curves.png")
    losses, precision = drawn[0].axes
    assert list(curves(losses)) == ["stage 0"]
    assert len(curves(losses)["stage 0"]) == 4
    assert curves(precision) == {}
    assert [text.get_text() for text in precision.texts] == ["no validation was logged"]
    assert precision.get_legend() is None  # matplotlib would draw an empty one, with a warning
    picture = cv2.imread(str(tmp_path / "curves.png"))
    left, right = np.array_split(picture.min(axis=2) < 250, 2, axis=1)
    assert 0 < right.mean() < left.mean() < 0.5  # ink: a frame and its texts; beside it, a curve too


def test_stages_are_in_their_order_and_the_selection_is_none_of_them(tmp_path, drawn):
    names = ["s0", "s10", "s2", "selection"]
    entry = {f"{name}.loss_cls": float(number) for number, name in enumerate(names, 1)}
    entry |= {"s0.dn_loss_cls": 4.0, "s0.dn_loss_bbox": 1.0, "s10.dn_loss_cls": 2.0, "s2.dn_loss_cls": 2.0}
    folder = tmp_path / "20260101_000000/vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text(json.dumps({"loss": 10.0, **entry, "epoch": 1, "iter": 1}))
    training_curves(tmp_path, tmp_path / "curves.png")
    found = {label: points[0][1] for label, points in curves(drawn[0].axes[0]).items()}
    stages = [("stage 0", 1), ("stage 2", 3), ("stage 10", 2)]
    assert list(found.items()) == [*stages, ("selection of queries", 4), ("denoising, mean of the stages", 3)]


@pytest.mark.parametrize(("line", "fault"), [("not json}", "damaged"), ("[1]}", "damaged"), ('{"a": 1', None)])
def test_a_damaged_log_is_named(tmp_path, line, fault):
    """But for a last line that has no end, as a run leaves that is killed."""
    write_log(tmp_path, "20260101_000000", range(1, 3))
    log = tmp_path / "20260101_000000/vis_data/scalars.json"
    log.write_text(f"{log.read_text()}\n{line}")
    if fault is None:
        assert len(read_scalars(tmp_path)[0]) == 4
        return
    with pytest.raises(InputError, match=rf"line 7 of log {log} is {fault}.*; delete that line"):
        read_scalars(tmp_path)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} holds no log"):
        read_scalars(tmp_path)


def test_a_training_by_iterations(tmp_path, drawn):
    """Whose log tells of no epochs, and whose validations tell their iteration."""
    for start, iterations, ap in (("0", (10, 20), 0.1), ("1", (30, 40), 0.2)):
        folder = tmp_path / f"2026010{start}_000000/vis_data"
        folder.mkdir(parents=True)
        train = [{"loss": 1.0, "s0.loss_cls": 1.0, "iter": iteration} for iteration in iterations]
        val = {f"coco/bbox_mAP{suffix}": ap for suffix in ("", "_50", "_75")} | {"step": iterations[-1]}
        (folder / "scalars.json").write_text("\n".join(map(json.dumps, [*train, val])))
    training_curves(tmp_path, tmp_path / "curves.png")
    losses, precision = drawn[0].axes
    assert [point[0] for point in curves(losses)["stage 0"]] == [10, 20, 30, 40]
    assert curves(precision)["AP  0.200"] == [(20, 0.1), (40, 0.2)]


def test_every_validation_is_in_the_picture(tmp_path, drawn):
    """Before the first loss that was logged, and after the last."""
    folder = tmp_path / "20260100_000000/vis_data"
    folder.mkdir(parents=True)
    entries = [{"loss": 1.0, "s0.loss_cls": 1.0, "iter": iteration} for iteration in (50, 100)]
    entries += [{"coco/bbox_mAP": 0.1, "step": step} for step in (10, 130)]
    (folder / "scalars.json").write_text("\n".join(map(json.dumps, entries)))
    training_curves(tmp_path, tmp_path / "curves.png")
    left, right = (axes.get_xlim() for axes in drawn[0].axes)
    assert left == right
    assert left[0] < 10
    assert left[1] > 130


def test_a_log_of_another_loop_is_refused(tmp_path):
    folder = tmp_path / "20260100_000000/vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text(json.dumps({"loss": 1.0, "s0.loss_cls": 1.0}))
    with pytest.raises(InputError, match="losses without their iteration"):
        training_curves(tmp_path, tmp_path / "curves.png")


def test_an_evaluation_of_ap_alone(tmp_path, drawn):
    write_log(tmp_path, "20260101_000000", range(1, 3), ap=0.1)
    log = tmp_path / "20260101_000000/vis_data/scalars.json"
    log.write_text(log.read_text().replace(', "coco/bbox_mAP_50": 0.1, "coco/bbox_mAP_75": 0.1', ""))
    training_curves(tmp_path, tmp_path / "curves.png")
    assert list(curves(drawn[0].axes[1])) == ["AP  0.100"]


@pytest.mark.parametrize("names", [["d0.dn_loss_cls", "loss_cls"], ["loss_rpn_cls"]])
def test_other_detectors_have_their_whole_loss(tmp_path, drawn, names):
    folder = tmp_path / "20260101_000000" / "vis_data"
    folder.mkdir(parents=True)
    lines = [{"loss": 3.0 - number, **dict.fromkeys(names, 0.5), "epoch": 1, "iter": number} for number in (1, 2)]
    (folder / "scalars.json").write_text("\n".join(map(json.dumps, lines)))
    training_curves(tmp_path, tmp_path / "curves.png")
    assert curves(drawn[0].axes[0]) == {"all together": [(1, 2.0), (2, 1.0)]}
