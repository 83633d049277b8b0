"""A whole study from the command line: what failed and what is missing is run, what is known is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue

import pytest
from filelock import FileLock
from references.tiny import ADAMIXER, LORS, make_data, write_config

from lors_det.cli import run
from lors_det.studies.fingerprints import course_of, courses_of, data_of
from lors_det.studies.plan import Run, read_study
from lors_det.studies.processes import carried_out
from lors_det.studies.results import Result, read_results, write_results
from lors_det.studies.running import _order, borrow, current_of

STUDY = """
question: Is LORS smaller?
seeds: [3]
options: {train_cfg.max_epochs: 1}
sets: {tiny: {shape: [64, 64]}}
arms:
  adamixer: {config: "FOLDER/{set}/adamixer.py"}
  lors: {config: "FOLDER/{set}/lors.py", options: OPTIONS}
compare: [[lors, adamixer]]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    data = make_data(folder / "shapes")
    (folder / "tiny").mkdir()
    write_config(folder / "tiny/adamixer.py", data, ADAMIXER)
    write_config(folder / "tiny/lors.py", data, LORS)
    return folder


def study(folder: Path, *words: str, options: str) -> None:
    path = folder / "size.yaml"
    path.write_text(STUDY.replace("FOLDER", str(folder)).replace("OPTIONS", options))
    places = [] if "--work-dir" in words else ["--work-dir", str(folder / "runs")]
    run("study", [str(path), *places, *words])


def test_a_study(folder, capsys):
    """Of two runs at a time, one fails; it is mended, and run alone."""
    with pytest.raises(SystemExit) as ended:
        study(folder, "--jobs", "2", options="{train_dataloader.dataset.ann_file: gone.json}")
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert "tiny/lors/seed3 failed" in said
    assert "gone.json" in said
    assert "1 of 2 runs are missing" in said
    kept = json.loads((folder / "size/results.json").read_text())["runs"]
    assert [(each["arm"], each["seed"]) for each in kept] == [("adamixer", 3)]
    order = json.loads((folder / "runs/tiny/adamixer/seed3/order.json").read_text())
    assert order["options"]["randomness.seed"] == 3
    assert not list((folder / "runs/tiny/adamixer/seed3").glob("*.pth"))

    study(folder, options="{optim_wrapper.optimizer.lr: 1.0e-3}")
    said = capsys.readouterr().out
    assert "tiny/lors/seed3: coco/bbox_mAP" in said
    assert "(1 of 1)" in said
    again = json.loads((folder / "size/results.json").read_text())["runs"]
    assert [each["arm"] for each in again] == ["adamixer", "lors"]
    assert again[0] == kept[0]
    assert again[1]["parameters"]["decoder"] < again[0]["parameters"]["decoder"]
    assert again[1]["steps"] == again[0]["steps"] > 0
    assert {path.name for path in (folder / "size").iterdir()} == {"results.json", "README.md", "ap.png", ".lock"}
    assert "| lors less adamixer | tiny |" in (folder / "size/README.md").read_text()

    study(folder, options="{optim_wrapper.optimizer.lr: 1.0e-3}")  # all is known
    assert "seed3:" not in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        study(folder, options="{optim_wrapper.optimizer.lr: 2.0e-3}")
    assert ended.value.code == 2
    assert "of other values than the study's for tiny/lors/seed3; --again runs them again" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:  # and what it was before is no result of these
        study(folder, "--again", options="{train_dataloader.dataset.ann_file: gone.json}")
    assert ended.value.code == 1
    assert "1 of 2 runs are missing" in capsys.readouterr().out


MEAN = """
question: Does the mean of the weights add anything?
seeds: [3]
options: {train_cfg.max_epochs: 2, train_cfg.val_interval: 2}
sets: {tiny: {shape: [64, 64]}}
arms:
  plain: {config: "FOLDER/{set}/scored.py"}
  mean: {config: "FOLDER/{set}/scored.py", options: {custom_hooks: [{type: EMAHook, momentum: 0.3}]}}
  other: {config: "FOLDER/{set}/scored.py", options: {custom_hooks: [{type: EMAHook, momentum: 0.5}]}}
compare: [[mean, plain]]
"""


@pytest.fixture
def of_means(folder, tmp_path, monkeypatch) -> Path:
    """A study of them, whose config has a metric of its own."""
    tests = str(Path(__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")])))
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/scored.py").write_text(
        f'_base_ = ["{folder / "tiny/lors.py"}"]\n'
        'custom_imports = dict(imports=["references.mean_score"], allow_failed_imports=False)\n'
        'val_evaluator = [_base_.val_evaluator, dict(type="MeanScore")]\n'
    )
    (tmp_path / "mean.yaml").write_text(MEAN.replace("FOLDER", str(tmp_path)))
    return tmp_path / "mean.yaml"


def test_one_training_with_a_mean_of_the_weights_is_also_the_one_without(of_means, tmp_path, capsys):
    """Its figures are those of a training without it, to the last digit."""
    path = of_means
    words = [str(path), "--work-dir", str(tmp_path / "runs")]
    run("study", [*words, "--only", "*/mean/*"])
    assert "tiny/plain/seed3: coco/bbox_mAP" in capsys.readouterr().out
    kept = {run.arm: result for run, result in read_results(tmp_path / "mean/results.json").items()}
    assert set(kept) == {"plain", "mean"}
    assert not (tmp_path / "runs/tiny/plain").exists()
    scores = {arm: result.metrics["coco/mean_score"] for arm, result in kept.items()}
    assert abs(scores["plain"] / scores["mean"] - 1) > 0.01
    alone = tmp_path / "alone"
    run("study", [str(path), "--only", "*/plain/*", "--out", str(alone / "out"), "--work-dir", str(alone / "runs")])
    (result,) = read_results(alone / "out/results.json").values()
    assert result.metrics == kept["plain"].metrics
    assert result.course == kept["plain"].course


def test_which_run_is_free(of_means):
    """One of the same values but the mean, that nothing knows; of two means, the first gives it."""
    of_means.write_text(of_means.read_text().replace("seeds: [3]", "seeds: [3, 4]"))
    study = read_study(of_means)
    courses = {run: courses_of(study, run) for run in study.runs()}
    runs = {(run.arm, run.seed): run for run in courses}
    assert current_of(courses, courses, known=()) == {runs["mean", seed]: runs["plain", seed] for seed in (3, 4)}
    assert current_of([runs["other", 3]], courses, known=()) == {runs["other", 3]: runs["plain", 3]}
    assert current_of(courses, courses, known=[runs["plain", 3]]) == {runs["mean", 4]: runs["plain", 4]}
    assert current_of([runs["plain", 3]], courses, known=()) == {}


def test_some_runs_alone(folder, capsys):
    out = ["--out", str(folder / "alone"), "--work-dir", str(folder / "runs-alone")]
    with pytest.raises(SystemExit) as ended:
        study(folder, *out, "--only", "*/lors/*", "tiny/adamixer2/*", options="{}")
    assert ended.value.code == 2
    assert "has no run tiny/adamixer2/*; the first of its 2 is tiny/adamixer/seed3" in capsys.readouterr().err
    study(folder, *out, "--only", "*/lors/*", options="{}")  # which ends well, with the other arm missing
    assert "1 of 2 runs are missing" in capsys.readouterr().out
    assert [run.arm for run in read_results(folder / "alone/results.json")] == ["lors"]


def test_results_of_other_values_are_refused_whichever_runs_are_asked_for(folder, capsys):
    """Tables are of all results."""
    places = ["--out", str(folder / "stale"), "--work-dir", str(folder / "runs-stale")]
    study(folder, *places, options="{}")
    capsys.readouterr()
    other = "{optim_wrapper.optimizer.lr: 2.0e-3}"
    for words, remedy in (([], "--again runs them again"), (["--again"], "--only has to name these too")):
        with pytest.raises(SystemExit) as ended:
            study(folder, *places, "--only", "*/adamixer/*", *words, options=other)
        assert ended.value.code == 2
        assert f"of other values than the study's for tiny/lors/seed3; {remedy}" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        study(folder, *places, "--only", "*/adamixer/*", "--report", options="{}")
    assert ended.value.code == 2
    assert "--report writes the results of all runs; leave --only out" in capsys.readouterr().err


def test_two_at_once_are_refused(folder, capsys):
    (folder / "held").mkdir()
    for held in ("--out", "--work-dir"):
        other = {"--out": "--work-dir", "--work-dir": "--out"}[held]
        with FileLock(folder / "held/.lock"), pytest.raises(SystemExit) as ended:
            study(folder, held, str(folder / "held"), other, str(folder / "free"), options="{}")
        assert ended.value.code == 2
        assert f"another study is running in {folder / 'held'}; wait for it" in capsys.readouterr().err


def test_runs_of_other_studies_are_taken_over(folder, tmp_path):
    """Of the same values and seed, whatever they are called there."""
    runs = [Run("tiny", arm, seed) for arm in ("a", "b") for seed in (0, 1)]
    courses = {run: run.arm for run in runs}
    other = Result(
        **Run("small", "as it is", 1)._asdict(),
        course="a",
        data="d",
        commit="",
        versions={},
        metrics={"coco/bbox_mAP": 0.5},
        parameters={},
        macs={},
        steps=1,
        seconds_per_step=1.0,
        memory_mib=1.0,
    )
    write_results(tmp_path / "other/results.json", [other])
    (tmp_path / "more").mkdir()
    (tmp_path / "more/results.json").write_text('{"of": "something else"}')
    found = borrow(runs, courses, {"tiny": "d"}, tmp_path / "own")
    assert found == {Run("tiny", "a", 1): replace(other, set="tiny", arm="a")}
    assert borrow(runs, courses, {"tiny": "e"}, tmp_path / "own") == {}  # of other data
    assert borrow(runs, courses, {"tiny": "d"}, tmp_path / "other") == {}  # its own are no others


def test_a_fingerprint_of_data_is_of_files_and_annotations(folder, tmp_path):
    shutil.copytree(folder / "shapes", tmp_path / "shapes")
    text = STUDY.replace("{tiny: {", f"{{tiny: {{data: {tmp_path / 'shapes'}, ").replace("OPTIONS", "{}")
    (tmp_path / "size.yaml").write_text(text)
    study = read_study(tmp_path / "size.yaml")
    before = data_of(study, "tiny")
    assert before == data_of(study, "tiny") != ""
    file = tmp_path / "shapes/annotations/val.json"
    file.write_text(file.read_text().replace("1", "2", 1))
    changed = data_of(study, "tiny")
    assert changed != before
    next((tmp_path / "shapes/train").iterdir()).unlink()
    assert data_of(study, "tiny") not in (before, changed)


def test_a_folder_of_another_run_is_not_gone_on_with(folder, tmp_path, monkeypatch):
    """Of other values it is emptied; of something else it is left alone; a result that is there is taken."""
    (tmp_path / "size.yaml").write_text(STUDY.replace("FOLDER", str(folder)).replace("OPTIONS", "{}"))
    study = read_study(tmp_path / "size.yaml")
    run_of = Run("tiny", "lors", 3)
    order = _order(study, run_of, "course", "data", "commit", tmp_path)
    place = Path(order.work_dir)
    started: list[list[str]] = []

    def start(words: list[str], **_: object) -> object:
        started.append(sorted(path.name for path in place.iterdir()))
        return subprocess.CompletedProcess(words, 1)

    monkeypatch.setattr("lors_det.studies.running.subprocess.run", start)
    slots: SimpleQueue[int] = SimpleQueue()
    slots.put(0)
    place.mkdir(parents=True)
    (place / "own.txt").write_text("")
    assert "holds files of something else" in str(carried_out(order, 1, slots))
    assert started == []
    (place / "order.json").write_text(json.dumps(asdict(replace(order, course="another"))))
    carried_out(order, 1, slots)
    assert started.pop() == ["log.txt", "order.json"]
    (place / "epoch_1.pth").write_text("")
    carried_out(order, 1, slots)
    assert started.pop() == ["epoch_1.pth", "log.txt", "order.json"]  # of the same values
    result = dict(set="tiny", arm="lors", seed=3, course="course", data="data", commit="", versions={}, metrics={})
    result |= dict(parameters={}, macs={}, steps=1, seconds_per_step=1.0, memory_mib=1.0)
    write_results(Path(order.results), [Result(**result)])
    assert carried_out(order, 1, slots) == {run_of: Result(**result)}
    assert started == []


def test_a_fingerprint_is_of_what_decides_the_weights(folder):
    (folder / "size.yaml").write_text(STUDY.replace("FOLDER", str(folder)).replace("OPTIONS", "{}"))
    lors, adamixer = (Run("tiny", arm, 3) for arm in ("lors", "adamixer"))
    plain = read_study(folder / "size.yaml")
    assert course_of(plain, lors) == course_of(plain, lors) != course_of(plain, adamixer)
    for options, is_same in {
        "{train_dataloader.num_workers: 1}": True,
        "{default_hooks.logger.interval: 3}": True,
        "{optim_wrapper.clip_grad.max_norm: 3.0}": False,
        "{custom_hooks: [{type: EMAHook, momentum: 0.1}]}": False,
        "{train_cfg.max_epochs: 2}": False,
        "{model.backbone.init_cfg: {type: Pretrained, checkpoint: a.pth}}": False,
        "{load_from: a.pth}": False,
        "{train_dataloader.dataset.ann_file: a.json}": False,
        "{val_evaluator.ann_file: a.json}": False,
        "{model.test_cfg: {max_per_img: 3}}": False,
        "{train_dataloader.dataset.data_root: elsewhere}": True,
    }.items():
        (folder / "size.yaml").write_text(STUDY.replace("FOLDER", str(folder)).replace("OPTIONS", options))
        assert (course_of(read_study(folder / "size.yaml"), lors) == course_of(plain, lors)) == is_same, options


def test_no_runs_at_a_time(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        study(folder, "--jobs", "0", options="{}")
    assert ended.value.code == 2
    assert "--jobs 0" in capsys.readouterr().err
