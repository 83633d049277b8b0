"""A whole study from the command line: what failed and what is missing is run, what is known is not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import IO

import pytest
import torch
import yaml
from filelock import FileLock
from references.tiny import ADAMIXER, LORS, make_data, write_config

from lors_det.cli import run
from lors_det.errors import InputError
from lors_det.plugin.config.reading import read_config
from lors_det.studies.children import Children
from lors_det.studies.fingerprints import Courses, Fingerprints, course_of, courses_of, data_of, drop_mean, is_steered
from lors_det.studies.one_run import Order, _commits, carry_out
from lors_det.studies.plan import Data, Run, Study
from lors_det.studies.processes import _surroundings, carried_out
from lors_det.studies.reading import read_study
from lors_det.studies.results import Result, read_results, write_results
from lors_det.studies.running import _order, borrow, current_of, run_study

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
    places = [] if {"--work-dir", "--report"} & set(words) else ["--work-dir", str(folder / "runs")]
    run("study", [str(path), *places, *words])


def test_a_study(folder, capsys):
    """Of two runs at a time, one fails; it is mended, and run alone."""
    with pytest.raises(SystemExit) as ended:
        study(folder, "--jobs", "2", options="{train_dataloader.dataset.data_prefix.img: gone}")
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert "tiny/lors/seed3 failed" in said
    assert "gone" in said
    assert "1 of 2 runs is missing" in said
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
        study(folder, "--again", options="{train_dataloader.dataset.data_prefix.img: gone}")
    assert ended.value.code == 1
    assert "1 of 2 runs is missing" in capsys.readouterr().out


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


@pytest.mark.parametrize("gives", ["nothing", "its own", "both"])
def test_what_a_training_with_a_mean_does_not_give_is_trained(gives, of_means, tmp_path, monkeypatch):
    """Where it failed, or only its own result is there."""
    ordered = []

    def carry(order: Order, *_: object, **__: object) -> dict[Run, Result] | str:
        ordered.append(order.arm)
        values = dict(versions={}, metrics={"coco/bbox_mAP": 0.5}, parameters={"decoder": 1, "model": 1}, steps=1)
        values |= dict(macs={"decoder": 1, "total": 1}, commit="", seconds_per_step=1.0, memory_mib=1.0)
        values |= dict(data=order.data)
        found = {each: Result(**each._asdict(), course=course, **values) for each, course in order.courses.items()}
        if order.arm == "plain" or gives == "both":
            return found
        return dict(list(found.items())[:1]) if gives == "its own" else "it failed"

    monkeypatch.setattr("lors_det.studies.running.carried_out", carry)
    study = read_study(of_means)
    results = run_study(study, tmp_path / "out", tmp_path / "runs", say=lambda words: None)
    assert ordered == ["mean", "other"] + ["plain"] * (gives != "both")
    assert {run.arm for run in results} == ({"plain"} if gives == "nothing" else {"mean", "other", "plain"})
    assert read_results(tmp_path / "out/results.json") == results


def test_some_runs_alone(folder, capsys):
    out = ["--out", str(folder / "alone"), "--work-dir", str(folder / "runs-alone")]
    with pytest.raises(SystemExit) as ended:
        study(folder, *out, "--only", "*/lors/*", "tiny/adamixer2/*", options="{}")
    assert ended.value.code == 2
    assert "has no run tiny/adamixer2/*; the first of its 2 is tiny/adamixer/seed3" in capsys.readouterr().err
    study(folder, *out, "--only", "*/lors/*", options="{}")  # which ends well, with the other arm missing
    assert "1 of 2 runs is missing" in capsys.readouterr().out
    assert [run.arm for run in read_results(folder / "alone/results.json")] == ["lors"]


def result_of(study: Study, run: Run) -> Result:
    """What it would be taken for."""
    values = dict(versions={}, metrics={"coco/bbox_mAP": 0.5}, parameters={"decoder": 1, "model": 1}, steps=1)
    values |= dict(macs={"decoder": 1, "total": 1}, commit="", seconds_per_step=1.0, memory_mib=1.0)
    values |= dict(data=data_of(study, run) if study.sets[run.set].data is None else "")
    return Result(**run._asdict(), course=course_of(study, run), **values)


def test_results_of_other_values_are_refused_whichever_runs_are_asked_for(folder, capsys):
    """Tables are of all results."""
    places = ["--out", str(folder / "stale"), "--work-dir", str(folder / "runs-stale")]
    (folder / "size.yaml").write_text(STUDY.replace("FOLDER", str(folder)).replace("OPTIONS", "{}"))
    before = read_study(folder / "size.yaml")
    write_results(folder / "stale/results.json", [result_of(before, run) for run in before.runs()])
    other = "{optim_wrapper.optimizer.lr: 2.0e-3}"
    for words, remedy in (([], "--again runs them again"), (["--again"], "--only has to name these too")):
        with pytest.raises(SystemExit) as ended:
            study(folder, *places, "--only", "*/adamixer/*", *words, options=other)
        assert ended.value.code == 2
        assert f"of other values than the study's for tiny/lors/seed3; {remedy}" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        study(folder, *places, "--only", "*/adamixer/*", "--report", options="{}")
    assert ended.value.code == 2
    assert "--report runs nothing, and writes all results that there are; leave --only out" in capsys.readouterr().err


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
    fingerprints = SimpleNamespace(courses={run: Courses(run.arm, run.arm) for run in runs}, data={})
    fingerprints.data |= {("tiny", "a"): "d", ("tiny", "b"): "d"}
    other = Result(
        **Run("small", "as it is", 1)._asdict(),
        course="a",
        data="d",
        commit="",
        versions={},
        metrics={"coco/bbox_mAP": 0.5},
        parameters={"decoder": 1, "model": 1},
        macs={"decoder": 1, "total": 1},
        steps=1,
        seconds_per_step=1.0,
        memory_mib=1.0,
    )
    write_results(tmp_path / "other/results.json", [other])
    (tmp_path / "more").mkdir()
    (tmp_path / "more/results.json").write_text('{"of": "something else"}')
    found = borrow(runs, fingerprints, tmp_path / "own")
    assert found == {Run("tiny", "a", 1): replace(other, set="tiny", arm="a")}
    assert borrow(runs, fingerprints, tmp_path / "other") == {}  # its own are no others
    for data in ("e", None):  # of other data, and of such that is not there
        fingerprints.data["tiny", "a"] = data
        assert borrow(runs, fingerprints, tmp_path / "own") == {}


def test_a_fingerprint_of_data_is_of_files_and_annotations(folder, tmp_path):
    shutil.copytree(folder / "shapes", tmp_path / "shapes")
    text = STUDY.replace("{tiny: {", f"{{tiny: {{data: {tmp_path / 'shapes'}, ").replace("OPTIONS", "{}")
    (tmp_path / "size.yaml").write_text(text)
    study = read_study(tmp_path / "size.yaml")
    first = next(iter(study.runs()))
    before = data_of(study, first)
    assert before == data_of(study, first) != ""
    file = tmp_path / "shapes/annotations/val.json"
    file.write_text(file.read_text().replace("1", "2", 1))
    changed = data_of(study, first)
    assert changed != before
    next((tmp_path / "shapes/train").iterdir()).unlink()
    assert data_of(study, first) not in (before, changed)


def test_a_fingerprint_is_of_the_configs_own_data_too(folder, tmp_path):
    data = make_data(tmp_path / "shapes")
    (tmp_path / "tiny").mkdir()
    write_config(tmp_path / "tiny/lors.py", data, LORS)
    write_config(tmp_path / "tiny/adamixer.py", data, ADAMIXER)
    (tmp_path / "size.yaml").write_text(STUDY.replace("FOLDER", str(tmp_path)).replace("OPTIONS", "{}"))
    study = read_study(tmp_path / "size.yaml")
    first = next(iter(study.runs()))
    before = data_of(study, first)
    assert before == data_of(study, first)
    image = next((data / "train").iterdir())
    image.write_bytes(image.read_bytes() + b"0")
    assert data_of(study, first) != before
    (data / "annotations/val.json").unlink()
    with pytest.raises(
        InputError, match=r"sets\.tiny has no data of its own, and .*val\.json, of its config, does not"
    ):
        data_of(study, first)


def test_a_fingerprint_is_of_each_arms_own_data(folder, tmp_path):
    data, others = make_data(tmp_path / "shapes"), make_data(tmp_path / "others")
    (tmp_path / "tiny").mkdir()
    write_config(tmp_path / "tiny/lors.py", data, LORS)
    write_config(tmp_path / "tiny/adamixer.py", others, ADAMIXER)
    (tmp_path / "size.yaml").write_text(STUDY.replace("FOLDER", str(tmp_path)).replace("OPTIONS", "{}"))
    study = read_study(tmp_path / "size.yaml")
    arms = {("tiny", "lors"), ("tiny", "adamixer")}
    before = Fingerprints(study, arms).data
    file = others / "annotations/val.json"
    file.write_text(file.read_text().replace("1", "2", 1))
    after = Fingerprints(study, arms).data
    assert after["tiny", "lors"] == before["tiny", "lors"]
    assert after["tiny", "adamixer"] != before["tiny", "adamixer"]
    text = STUDY.replace("OPTIONS", "{}, first: {config: 'FOLDER/tiny/adamixer.py'}").replace("FOLDER", str(tmp_path))
    (tmp_path / "size.yaml").write_text(text)
    assert Fingerprints(read_study(tmp_path / "size.yaml"), arms).data["tiny", "lors"] != after["tiny", "lors"]


def test_a_page_of_another_is_not_written_over(folder, tmp_path, capsys):
    (tmp_path / "README.md").write_text("# my project\n")
    (tmp_path / "file").write_text("")
    for out, words in ((tmp_path, "README.md is no study's report"), (tmp_path / "file", "is a file; name a folder")):
        with pytest.raises(SystemExit) as ended:
            study(folder, "--out", str(out), options="{}")
        assert ended.value.code == 2
        assert words in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "# my project\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["README.md", "file"]


def test_a_report_takes_nothing_of_running(folder, capsys):
    for words in (["--again"], ["--jobs", "2"], ["--work-dir", "here"]):
        with pytest.raises(SystemExit) as ended:
            study(folder, "--report", *words, options="{}")
        assert ended.value.code == 2
        assert f"leave {words[0]} out" in capsys.readouterr().err


def test_a_folder_of_another_run_is_not_gone_on_with(folder, tmp_path):
    """Of other values it is emptied; of something else it is left alone; a result that is there is taken."""
    (tmp_path / "size.yaml").write_text(STUDY.replace("FOLDER", str(folder)).replace("OPTIONS", "{}"))
    study = read_study(tmp_path / "size.yaml")
    run_of = Run("tiny", "lors", 3)
    fingerprints = SimpleNamespace(courses={run_of: Courses("course", "course")}, data={("tiny", "lors"): "data"})
    order = _order(study, run_of, fingerprints, tmp_path)
    place = Path(order.work_dir)
    started: list[list[str]] = []

    class Faked(Children):
        def run(self, command: Sequence[str], *, output: IO[str], env: Mapping[str, str]) -> int:
            started.append(sorted(path.name for path in place.iterdir()))
            output.write(f"try {len(said)}\n")
            return 1

    said: list[str] = []
    children = Faked()
    slots: SimpleQueue[int] = SimpleQueue()
    slots.put(0)
    place.mkdir(parents=True)
    (place / "own.txt").write_text("")
    assert "holds files of something else" in str(carried_out(order, 1, slots, children, again=False))
    assert started == []
    (place / "order.json").write_text(json.dumps(asdict(replace(order, course="another"))))
    said.append(str(carried_out(order, 1, slots, children, again=False)))
    assert started.pop() == ["log.txt", "order.json"]
    (place / "epoch_1.pth").write_text("")
    said.append(str(carried_out(order, 1, slots, children, again=False)))
    assert started.pop() == ["epoch_1.pth", "log.txt", "order.json"]  # of the same values
    assert [text.splitlines()[0] for text in said] == ["  try 0", "  try 1"]  # of a former try nothing is told
    other = replace(order, course="another")
    assert "was not finished; --again removes it" in str(carried_out(other, 1, slots, children, again=False))
    assert (started, (place / "epoch_1.pth").exists()) == ([], True)
    for each in (other, order):
        carried_out(each, 1, slots, children, again=True)
        assert started.pop() == ["log.txt", "order.json"]
    result = dict(set="tiny", arm="lors", seed=3, course="course", data="data", commit="", versions={}, metrics={})
    result |= dict(parameters={"decoder": 1, "model": 1}, macs={"decoder": 1, "total": 1}, steps=1)
    result |= dict(seconds_per_step=1.0, memory_mib=1.0)
    write_results(order.results, [Result(**result)])
    (place / "epoch_2.pth").write_text("")  # of a run that was killed before it could remove it
    assert carried_out(order, 1, slots, children, again=False) == {run_of: Result(**result)}
    assert (started, list(place.glob("*.pth"))) == ([], [])

    # of the other run that its training is too, there is no result yet, or one of other values
    both = replace(order, current_arm="plain", current_course="current")
    other = Result(**{**result, "arm": "plain", "course": "current"})
    for stale in ([], [replace(other, course="before")], [replace(other, data="other")]):
        write_results(order.results, [Result(**result), *stale])
        assert carried_out(both, 1, slots, children, again=False) == {run_of: Result(**result)}
        assert started.pop()
    write_results(order.results, [Result(**result), other])
    assert carried_out(both, 1, slots, children, again=False) == {run_of: Result(**result), other.run: other}
    assert carried_out(order, 1, slots, children, again=False) == {run_of: Result(**result)}
    assert started == []

    with FileLock(order.lock):
        assert "is in use: a run goes on whose study was stopped" in str(
            carried_out(order, 1, slots, children, again=False)
        )
    (place / "order.json").write_text('{"course": ')
    assert "order.json cannot be read" in str(carried_out(order, 1, slots, children, again=False))
    shutil.rmtree(place)
    carried_out(order, 1, slots, children, again=False)
    order.results.write_text('{"runs": [')
    assert "holds no results of a study" in str(carried_out(order, 1, slots, children, again=False))
    shutil.rmtree(place)
    place.write_text("a file")
    assert "holds files of something else" in str(carried_out(order, 1, slots, children, again=False))


@pytest.mark.parametrize(
    ("given", "jobs", "slot", "expected"),
    [
        ({}, 2, 1, {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "1"}),
        ({"CUDA_VISIBLE_DEVICES": "4,6"}, 2, 3, {"CUDA_VISIBLE_DEVICES": "6"}),
        ({"CUDA_VISIBLE_DEVICES": "4,6"}, 1, 0, {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": "4,6"}),
        ({"OMP_NUM_THREADS": "1"}, 2, 0, {"OMP_NUM_THREADS": "1"}),
        ({"OMP_NUM_THREADS": "4"}, 2, 0, {"OMP_NUM_THREADS": "2"}),
        ({"OMP_NUM_THREADS": "3"}, 1, 0, {"OMP_NUM_THREADS": "3"}),
    ],
)
def test_runs_share_cores_and_gpus(given, jobs, slot, expected, monkeypatch):
    monkeypatch.setattr("lors_det.studies.processes.torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("lors_det.studies.processes.os.cpu_count", lambda: 4)
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert expected.items() <= _surroundings(jobs, slot).items()


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
        "{train_dataloader.dataset.data_root: elsewhere}": False,
        "{default_hooks.mean: {type: EMAHook, momentum: 0.1}}": False,
    }.items():
        (folder / "size.yaml").write_text(STUDY.replace("FOLDER", str(folder)).replace("OPTIONS", options))
        assert (course_of(read_study(folder / "size.yaml"), lors) == course_of(plain, lors)) == is_same, options


def test_a_place_of_the_data_decides_nothing_where_the_study_names_them(folder):
    run, place = Run("tiny", "lors", 3), folder / "size.yaml"
    found = set()
    for options in ("{}", "{train_dataloader.dataset.data_root: elsewhere}"):
        text = STUDY.replace("FOLDER", str(folder)).replace("OPTIONS", options)
        place.write_text(text.replace("{tiny: {", f"{{tiny: {{data: {folder / 'shapes'}, "))
        found.add(course_of(read_study(place), run))
    assert len(found) == 1


def test_a_fingerprint_is_of_what_a_file_of_weights_holds(folder, tmp_path):
    place, found = folder / "size.yaml", set()
    place.write_text(STUDY.replace("FOLDER", str(folder)).replace("OPTIONS", f"{{load_from: {tmp_path / 'w.pth'}}}"))
    for content in ("one", "two"):
        (tmp_path / "w.pth").write_text(content)
        found.add(course_of(read_study(place), Run("tiny", "lors", 3)))
    assert len(found) == 2


def test_a_fingerprint_of_data_is_of_linked_folders_too_and_of_no_hidden_file(tmp_path):
    for path, text in (("real/a.json", "1"), ("data/b.json", "1")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "data/train").symlink_to(tmp_path / "real")
    study = SimpleNamespace(path="s.yaml", sets={"tiny": Data(data=tmp_path / "data")})
    found = [data_of(study, Run("tiny", "lors", 3))]
    (tmp_path / "data/.DS_Store").write_text("hidden")
    found.append(data_of(study, Run("tiny", "lors", 3)))
    (tmp_path / "real/a.json").write_text("2")
    found.append(data_of(study, Run("tiny", "lors", 3)))
    assert found[0] == found[1] != found[2]


def test_a_mean_is_found_among_hooks_with_names_too(folder, tmp_path):
    (tmp_path / "tiny").mkdir()
    hooks = "mean=dict(type='EMAHook', momentum=0.3), patience=dict(type='PatienceHook', patience=5)"
    (tmp_path / "c.py").write_text(f'_base_ = ["{folder / "tiny/lors.py"}"]\ndefault_hooks = dict({hooks})\n')
    cfg = read_config(tmp_path / "c.py", {"train_cfg.max_epochs": 3, "train_cfg.val_interval": 1})
    assert is_steered(cfg)
    for lengths in (
        dict(max_epochs=None, val_interval=None),
        dict(max_epochs=3, val_interval=3, dynamic_intervals=[(1, 1)]),
    ):
        cfg.train_cfg.update(lengths)  # a training set decides, or the interval changes
        assert is_steered(cfg)
    cfg.train_cfg.update(dynamic_intervals=None)
    assert not is_steered(cfg)
    assert drop_mean(cfg)
    assert not drop_mean(cfg)
    assert "timer" in cfg.default_hooks


def test_validations_that_steer_a_training(folder, tmp_path):
    """Then one with a mean of the weights is not the one without; and in a study they are refused."""
    (tmp_path / "tiny").mkdir()
    path = tmp_path / "tiny/lors.py"
    hooks = "dict(type='EMAHook', momentum=0.3), dict(type='PatienceHook', patience=5)"
    path.write_text(f'_base_ = ["{folder / "tiny/lors.py"}"]\ncustom_hooks = [{hooks}]\n')
    (tmp_path / "size.yaml").write_text(STUDY.replace("FOLDER", str(tmp_path)).replace("OPTIONS", "{}"))
    lors = Run("tiny", "lors", 3)
    study = read_study(tmp_path / "size.yaml")
    assert len(set(courses_of(study, lors))) == 2  # of one epoch, whose validation is the last
    longer = replace(study, options={"train_cfg.max_epochs": 2})
    assert len(set(courses_of(longer, lors))) == 1
    fingerprints = SimpleNamespace(courses={lors: courses_of(longer, lors)}, data={("tiny", "lors"): ""})
    order = _order(longer, lors, fingerprints, tmp_path / "runs")
    Path(order.work_dir).mkdir(parents=True)
    with pytest.raises(InputError, match="follows the validations, and a study takes the last epoch's"):
        carry_out(order)


def test_data_that_is_not_there(folder, tmp_path, capsys):
    """Its results stay, and other sets run; it is told of where it is needed."""
    text = STUDY.replace("{tiny: {", f"{{fish: {{data: {tmp_path / 'gone'}}}, tiny: {{").replace("OPTIONS", "{}")
    (tmp_path / "size.yaml").write_text(text.replace("FOLDER", str(folder)).replace("{set}", "tiny"))
    study = read_study(tmp_path / "size.yaml")
    kept = replace(result_of(study, Run("fish", "lors", 3)), data="d")
    write_results(tmp_path / "size/results.json", [kept])
    words = [str(tmp_path / "size.yaml"), "--work-dir", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as ended:
        run("study", words)
    assert ended.value.code == 2
    assert f"sets.fish.data {tmp_path / 'gone'} holds no data" in capsys.readouterr().err
    run("study", [words[0], "--report"])
    capsys.readouterr()
    write_results(tmp_path / "size/results.json", [replace(kept, course="before")])
    with pytest.raises(SystemExit) as ended:
        run("study", [words[0], "--report"])
    assert ended.value.code == 2
    assert "of other values than the study's for fish/lors/seed3" in capsys.readouterr().err


def test_the_commits_of_a_run_that_was_gone_on_with(tmp_path, monkeypatch):
    note = tmp_path / "commits.txt"
    for commit, said in {"a1": "a1", "b2+": "a1; b2+", "": "a1; b2+"}.items():
        monkeypatch.setattr("lors_det.studies.one_run.commit_of_this", lambda commit=commit: commit)
        assert _commits(note) == said


def test_no_runs_at_a_time(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        study(folder, "--jobs", "0", options="{}")
    assert ended.value.code == 2
    assert "--jobs 0" in capsys.readouterr().err


@pytest.mark.parametrize("before", ["adamixer", "lors"])
def test_an_arm_starts_from_what_is_trained_first(folder, tmp_path, monkeypatch, before):
    """From stages of their own, factorised, or from weights as they are; steps of both count, no weights are kept."""
    described = {
        "question": "Is it a start?",
        "seeds": [3],
        "options": {"train_cfg.max_epochs": 1},
        "sets": {"tiny": {"shape": [64, 64]}},
        "arms": {
            "lors": {"config": f"{folder}/{{set}}/lors.py"},
            "later": {
                "config": f"{folder}/{{set}}/lors.py",
                "options": {"optim_wrapper.optimizer.lr": 1e-12},
                "first": {"config": f"{folder}/{{set}}/{before}.py", "options": {"train_cfg.max_epochs": 2}},
            },
        },
    }
    path = tmp_path / "later.yaml"
    path.write_text(yaml.safe_dump(described))
    plan = read_study(path)
    run = Run("tiny", "later", 3)
    kept = []
    unlink = Path.unlink

    def keep(self, *args, **kwargs):
        if self.name in ("epoch_1.pth", "epoch_2.pth", "factorised.pth") and self.is_file():
            kept.append((self.relative_to(tmp_path), torch.load(self, weights_only=True)["state_dict"]))
        return unlink(self, *args, **kwargs)

    monkeypatch.setattr(Path, "unlink", keep)
    order = _order(plan, run, Fingerprints(plan, {(run.set, run.arm)}), tmp_path / "runs")
    Path(order.work_dir).mkdir(parents=True)
    carry_out(order)
    result = order.kept()[run]
    weights = {str(name.relative_to(f"runs/{run}")): state for name, state in kept}
    first = weights["first/factorised.pth" if before == "adamixer" else "first/epoch_2.pth"]
    for name, value in weights["epoch_1.pth"].items():
        torch.testing.assert_close(value, first[name], rtol=0, atol=1e-9, msg=name)
    assert not list(tmp_path.rglob("*.pth"))
    steps = json.loads(next(Path(order.work_dir).glob("*/vis_data/scalars.json")).read_text().splitlines()[-1])["step"]
    assert result.steps > steps
    assert course_of(plan, run) not in {course_of(replace(plan, arms=arms), run) for arms in others(plan)}


LARGER = {"model.bbox_head.decoder": {"static_rank": 3}}
PATIENT = {"custom_hooks": [dict(type="PatienceHook")], "train_cfg.val_interval": 1}


@pytest.mark.parametrize(
    ("own", "first", "words"),
    [
        (("adamixer", {}), ("lors", {}), r"lors\.py, trained first, does not fit .*adamixer\.py: .*missing"),
        (("lors", {}), ("lors", LARGER), r"does not fit .*instead of"),
        (("lors", {"load_from": "x.pth"}), ("lors", {}), r"load_from is x\.pth, and first says what to start from"),
        (("lors", {}), ("lors", {"model.bbox_head.query_start": "image"}), r"query_start is 'grid', and was 'image'"),
        (("lors", {}), ("lors", PATIENT), "a hook or scheduler follows the validations"),
        (("lors", {}), ("lors", {"model.bbox_head.decoder": {"share": [0]}}), r"lors\.py: .*share"),
    ],
)
def test_what_cannot_be_started_from_is_refused_before_anything_trains(folder, tmp_path, own, first, words):
    """Weights that do not all fit, other values of the model, another start, a training that may end early."""
    (config, options), (first_config, first_options) = own, first
    order = Order(
        *("tiny", "later", 3, "course", "data", f"{folder}/tiny/{config}.py", None, None),
        {"train_cfg.max_epochs": 3, **options},
        (64, 64),
        str(tmp_path),
        first_config=f"{folder}/tiny/{first_config}.py",
        first_options={"train_cfg.max_epochs": 3, **first_options},
    )
    with pytest.raises(InputError, match=words):
        carry_out(order)
    assert not list(tmp_path.rglob("*.log"))


def others(plan: Study) -> list[dict[str, object]]:
    """Its arms with nothing before the second, or with another number of epochs there."""
    later = plan.arms["later"]
    longer = later.first._replace(options={"train_cfg.max_epochs": 3})
    return [{**plan.arms, "later": replace(later, first=first)} for first in (None, longer)]
