"""Tables and tests of a study, against SciPy and by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats

from lors_det.errors import InputError
from lors_det.studies import figure as figure_module
from lors_det.studies.figure import draw_study
from lors_det.studies.plan import Run, Study
from lors_det.studies.reading import read_study
from lors_det.studies.results import Result, read_results, write_results
from lors_det.studies.table import differences, holm, report

SCORES = {  # by set and arm, of three seeds
    "cells": {"plain": [0.40, 0.42, 0.41], "better": [0.45, 0.44, 0.47], "same": [0.40, 0.42, 0.41]},
    "fish": {"plain": [0.10, 0.13, 0.11], "better": [0.12, 0.12, 0.14], "same": [0.10, 0.13, 0.11]},
}


@pytest.fixture
def study(tmp_path) -> Study:
    path = tmp_path / "study.yaml"
    path.write_text(
        "question: Is it better?\nseeds: [0, 1, 2]\nsets: {cells: {}, fish: {}}\n"
        "arms: {plain: {config: a}, better: {config: b}, same: {config: c}}\n"
        "compare: [[better, plain], [same, plain]]\n"
    )
    return read_study(path)


def result(run: Run, score: float) -> Result:
    return Result(
        **run._asdict(),
        course="0",
        data="",
        commit="abc",
        versions={"torch": "2"},
        metrics={"coco/bbox_mAP": score},
        parameters={"decoder": 1_234_567, "model": 2_000_000},
        macs={"decoder": 10**9, "total": 2 * 10**9},
        steps=10,
        seconds_per_step=0.5,
        memory_mib=1000.4,
    )


@pytest.fixture
def results(study) -> dict[Run, Result]:
    return {run: result(run, SCORES[run.set][run.arm][run.seed]) for run in study.runs()}


def test_differences_are_paired(study, results):
    found = {(each.first, each.set): each for each in differences(study, results)}
    assert list(found) == [(arm, name) for arm in ("better", "same") for name in ("cells", "fish")]
    tested = []
    for name in ("cells", "fish"):
        better, plain = (np.array(SCORES[name][arm]) for arm in ("better", "plain"))
        expected = stats.ttest_1samp(better - plain, 0)
        each = found["better", name]
        assert np.allclose(each.pairs, better - plain)
        assert each.p == pytest.approx(expected.pvalue)
        assert (each.low, each.high) == pytest.approx(tuple(expected.confidence_interval()))
        tested.append(each)
    # two tests of the four that are planned: those of arms that are the same, seed by seed, have no p
    assert all(found["same", name].p is None for name in ("cells", "fish"))
    smallest = min(tested, key=lambda each: each.p)
    assert smallest.holm == pytest.approx(4 * smallest.p)


def test_seeds_that_one_arm_has_no_more_are_in_no_pair(study, results):
    """Their results stay in the file, and may be of other values than the arm has now."""
    shorter = replace(study, arms={**study.arms, "plain": replace(study.arms["plain"], seeds=(0, 1))})
    results[Run("cells", "plain", 2)] = replace(results[Run("cells", "plain", 2)], metrics={"coco/other": 0.0})
    found = {(each.first, each.set): each for each in differences(shorter, results)}
    assert found["better", "cells"].pairs == pytest.approx([0.05, 0.02])
    assert "0.410 ± 0.014" in report(shorter, results)  # the mean of two


def test_holm_by_hand():
    assert list(holm([0.01, 0.04, 0.03, 0.5], 4)) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert list(holm([0.01, 0.04], 4)) == pytest.approx([0.04, 0.12])  # two more are planned
    assert list(holm([0.6, 0.7], 2)) == [1.0, 1.0]
    assert list(holm([], 3)) == []


def test_the_report(study, results):
    text = report(study, results)
    assert "**Question.** Is it better?" in text
    assert "**Answer.** None yet." in text
    assert "| better | 1,234,567 | 1.000 | 2.000 | 0.500 | 1000 | 0.453 ± 0.015 | 0.450, 0.440, 0.470 |" in text
    assert "| same less plain | fish | +0.000 | all are equal | 3 |  |  |" in text
    assert "missing" not in text
    assert "commit: abc" in text


def test_time_and_memory_are_of_an_arms_own_trainings(study, results):
    """Those of a training that validated a mean of the weights are of the arm with the mean."""
    for run in [run for run in results if run.arm == "plain" and (run.set == "fish" or run.seed == 0)]:
        results[run] = replace(results[run], trained_as="better", seconds_per_step=9.0, memory_mib=9000.0)
    text = report(study, results)
    assert "| plain | 1,234,567 | 1.000 | 2.000 | 0.500 | 1000 | 0.410 ± 0.010 |" in text
    assert "| plain | 1,234,567 | 1.000 | 2.000 |  |  | 0.113 ± 0.015 |" in text


def test_a_commit_is_named_once(study, results):
    """Also where a run began at one and went on at another."""
    first, second, *others = results
    for run, commit in ((first, "aaa"), (second, "aaa; bbb"), *((other, "bbb") for other in others)):
        results[run] = replace(results[run], commit=commit)
    assert "\ncommit: aaa; bbb\n" in report(study, results)


def test_what_is_missing_is_said(study, results):
    some = {run: each for run, each in results.items() if run.seed == 0 and run.arm != "same"}
    text = report(study, some)
    assert "14 of 18 runs are missing" in text
    assert "| better less plain | cells | +0.050 |  | 1 |  |  |" in text
    assert "same" not in text.split("Differences")[1]
    del results[Run("cells", "better", 0)]
    assert "| 0.455 ± 0.021 | -, 0.440, 0.470 |" in report(study, results)


def test_a_set_without_a_result_has_neither_table_nor_panel(tmp_path, study, results):
    cells = {run: each for run, each in results.items() if run.set == "cells"}
    assert "on cells:" in report(study, cells)
    assert "on fish:" not in report(study, cells)
    widths = []
    for number, some in enumerate((results, cells)):
        draw_study(study, some, tmp_path / f"{number}.png")
        widths.append(Image.open(tmp_path / f"{number}.png").width)
    assert widths[0] - widths[1] > 500


def test_a_metric_that_is_not_there_is_named(study, results):
    other = replace(study, metric="coco/AP")
    with pytest.raises(InputError, match=r"metric coco/AP is none of .*, coco/bbox_mAP"):
        report(other, results)


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_what_is_no_figure_is_named(study, results, value):
    run = next(iter(results))
    results[run] = replace(results[run], metrics={"coco/bbox_mAP": value})
    with pytest.raises(InputError, match=rf"coco/bbox_mAP of {run} is {value}, no figure"):
        report(study, results)


def test_results_are_kept(tmp_path, results):
    path = tmp_path / "out/results.json"
    assert read_results(path) == {}
    write_results(path, results.values())
    assert read_results(path) == results
    assert len(path.read_text().splitlines()) == len(results) + 2  # a line each, for version control


def test_a_picture_is_drawn(tmp_path, study, results):
    draw_study(study, results, tmp_path / "ap.png")
    assert (tmp_path / "ap.png").read_bytes().startswith(b"\x89PNG")


def test_no_mean_hides_another_and_one_that_lacks_seeds_is_hollow(tmp_path, study, results, monkeypatch):
    some = {run: each for run, each in results.items() if run.arm != "better" or run.seed != 0}
    figures = []
    monkeypatch.setattr(figure_module, "write_figure", lambda figure, path, dpi: figures.append(figure))
    draw_study(study, some, tmp_path / "ap.png")
    (figure,) = figures
    for panel in figure.axes:
        means = [line for line in panel.lines if line.get_markersize() == 8]
        on_page = {float(line.get_transform().transform(line.get_xydata())[0, 0]) for line in means}
        assert len(on_page) == len(means) == len(study.arms)
        sizes = {results[Run("cells", arm, 1)].parameters["decoder"] / 1e6 for arm in study.arms}
        assert {float(line.get_xdata()[0]) for line in means} == sizes, "the axis tells what they have"
        inside = panel.get_window_extent()
        assert all(inside.contains(*line.get_transform().transform(line.get_xydata())[0]) for line in panel.lines)
        styles = {arm: line.get_fillstyle() for arm, line in zip(study.arms, means)}
        assert styles == {arm: "none" if arm == "better" else "full" for arm in study.arms}
    assert [text.get_text() for text in figure.axes[-1].texts] == ["hollow: seeds are missing"]


def test_all_names_are_in_the_picture(tmp_path, study, results, monkeypatch):
    """Many of them, long ones, and such as look like a formula."""
    names = [f"arm_{number}" for number in range(45)] + ["lr$_$", "a name of " + "many " * 12]
    some = next(iter(results.values()))
    arms = dict.fromkeys(names, next(iter(study.arms.values())))
    figures = []
    savefig = Figure.savefig

    def kept(figure, *args, **kwargs):
        figures.append(figure)
        savefig(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", kept)
    drawn = {Run("cells", name, 0): replace(some, set="cells", arm=name, seed=0) for name in names}
    draw_study(replace(study, arms=arms), drawn, tmp_path / "ap.png")
    (figure,) = figures
    box, whole = figure.legends[0].get_window_extent(), figure.bbox
    assert len(figure.legends[0].get_texts()) == len(names)
    assert box.y0 >= 0
    assert box.y1 <= whole.y1
    assert box.x1 <= whole.x1
    assert figure.axes[0].get_window_extent().width > 300


def test_equal_differences_are_said(study, results):
    first, second = study.compare[0]
    for run in list(results):
        if run.arm in (first, second):
            results[run] = result(run, 0.5 if run.arm == first else 0.49)
    (found, *_) = differences(study, results)
    assert (found.low, found.p, found.holm) == (None, None, None)
    assert "| all are equal |" in report(study, results)


@pytest.mark.parametrize("wrong", [{"metrics": None}, {"set": [1]}, {"seed": "0"}])
def test_results_of_other_kinds_are_refused(tmp_path, results, wrong):
    write_results(tmp_path / "results.json", results.values())
    content = json.loads((tmp_path / "results.json").read_text())
    content["runs"][0] |= wrong
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="holds no results of a study"):
        read_results(tmp_path / "results.json")
