"""Results that a file does not hold are told of by run and field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lors_det.errors import InputError
from lors_det.studies.plan import Run
from lors_det.studies.results import read_results

ENTRY: dict[str, Any] = {
    "set": "tiny",
    "arm": "lors",
    "seed": 1,
    "course": "c",
    "data": "d",
    "commit": "",
    "versions": {"torch": "2"},
    "metrics": {"coco/bbox_mAP": 0.5},
    "parameters": {"decoder": 1, "model": 2},
    "macs": {"decoder": 1, "total": 2},
    "steps": 3,
    "seconds_per_step": 0.1,
    "memory_mib": 9,
}


def read(folder, *entries):
    file = folder / "results.json"
    file.write_text(json.dumps({"runs": entries}))
    return read_results(file)


def test_what_it_holds(tmp_path):
    other = {**ENTRY, "seed": 2, "trained_as": "mean"}
    results = read(tmp_path, ENTRY, other, ENTRY)  # one line twice is one
    assert list(results) == [Run("tiny", "lors", 1), Run("tiny", "lors", 2)]
    assert read_results(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"parameters": {}}, "tiny/lors/seed1: parameters has no decoder"),
        ({"macs": {"decoder": 1}}, "macs has no total"),
        ({"macs": []}, "macs is no numbers by name"),
        ({"metrics": {"coco/bbox_mAP": "0.5"}}, "metrics is no numbers by name"),
        ({"versions": {"torch": 2}}, "versions is no texts by name"),
        ({"seconds_per_step": "0.1"}, "seconds_per_step is no number"),
        ({"memory_mib": None}, "memory_mib is no number"),
        ({"seed": True}, "seed is no number"),
        ({"steps": 1.5}, "steps is no whole number"),
        ({"arm": 1}, "arm is no text"),
    ],
)
def test_what_it_does_not(tmp_path, changed, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, {**ENTRY, **changed})


def test_another_version_loses_nothing(tmp_path):
    with pytest.raises(InputError, match="run 1 has energy_j, of a newer lors_det; go on with that one"):
        read(tmp_path, {**ENTRY, "energy_j": 3})
    without = {key: value for key, value in ENTRY.items() if key != "macs"}
    with pytest.raises(InputError, match="run 2 has no macs; mend it, or take it out"):
        read(tmp_path, ENTRY, without)


def test_a_run_of_two_values(tmp_path):
    other = {**ENTRY, "metrics": {"coco/bbox_mAP": 0.9}}
    with pytest.raises(InputError, match="holds tiny/lors/seed1 twice, of other values; take one out"):
        read(tmp_path, ENTRY, other)


def test_a_folder(tmp_path):
    (tmp_path / "results.json").mkdir()
    with pytest.raises(InputError, match="is no file"):
        read_results(tmp_path / "results.json")
