"""The studies of the documentation: each can be run, and asks of every arm something else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from unittest.mock import patch

import pytest
from mmengine.config import Config

from lors_det.adamixer import DecoderSpec
from lors_det.adamixer.criterion import SetCriterion
from lors_det.adamixer.denoising import Denoising
from lors_det.plugin.config.reading import read_config
from lors_det.studies import fingerprints
from lors_det.studies.fingerprints import Fingerprints
from lors_det.studies.reading import read_study
from lors_det.studies.results import read_results

STUDIES = sorted((Path(__file__).parents[2] / "docs/studies").glob("*.yaml"))


def results_file(study: Path) -> Path:
    return study.with_suffix("") / "results.json"


@cache
def fingerprints_of(study: Path) -> tuple[Fingerprints, list[Config]]:
    """And the configs that are read for them, which takes most of the time here."""
    read = []

    def read_and_kept(*given):
        read.append(read_config(*given))
        return read[-1]

    with patch.object(fingerprints, "read_config", read_and_kept):
        return Fingerprints(read_study(study), needed=()), read


def test_there_are_some():
    assert STUDIES


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_arm_is_a_model_of_its_own(path, root, monkeypatch):
    monkeypatch.chdir(root)
    study = read_study(path)
    first = [run for run in study.runs() if run.seed == study.arms[run.arm].seeds[0]]
    found, configs = fingerprints_of(path)
    assert len({found.courses[run].own for run in first}) == len(first) <= len(configs)
    for cfg in configs:
        head = cfg.model.bbox_head
        spec = DecoderSpec(**head.decoder)
        SetCriterion(**head.get("criterion", {})).repeats(spec.num_stages)
        Denoising(2, spec.dim, **head.get("denoising", {}))


@pytest.mark.parametrize("path", [path for path in STUDIES if results_file(path).is_file()], ids=lambda path: path.stem)
def test_results_are_of_what_the_study_asks(path, root, monkeypatch):
    """Configs that others share may change after a study has begun; its results are then of what is asked no more."""
    monkeypatch.chdir(root)
    results = read_results(results_file(path))
    assert results
    assert fingerprints_of(path)[0].changed(results) == []
