"""The table that sets models side by side."""

from __future__ import annotations

import json
import statistics

import pytest

from lors_det.errors import InputError
from lors_det.plugin.comparison import comparison
from lors_det.plugin.config import load_config

NAMES = ("lors-adamixer_r18-half_16-query_3e_shapes", "adamixer_r18-half_16-query_3e_shapes")


@pytest.fixture
def configs(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = {"model.bbox_head.num_classes": 5}
    return {name: load_config(root / f"configs/ablations/{name}.py", options) for name in NAMES}


def log_run(work_dir, aps):
    """What a run of one epoch for each AP logs."""
    (work_dir / "20260101_000000/vis_data").mkdir(parents=True)
    lines = []
    for epoch, ap in enumerate(aps, start=1):
        lines.append(json.dumps({"loss": 1.0, "iter": 10 * epoch, "epoch": epoch}))
        lines.append(json.dumps({"coco/bbox_mAP": ap, "step": epoch}))
    (work_dir / "20260101_000000/vis_data/scalars.json").write_text("\n".join(lines) + "\n")


def cells(table):
    head, rule, *rows = (line.strip("| ").split(" | ") for line in table.splitlines())
    assert len(rule) == len(head)
    return [dict(zip(head, row)) for row in rows]


def test_sizes_come_from_the_models(configs):
    lors, adamixer = cells(comparison(configs, 64, 96))
    assert [lors["model"], adamixer["model"]] == list(NAMES)
    assert "AP" not in lors
    parts = [int(lors[part].replace(",", "")) for part in ("shared", "private mixing", "other, per stage", "decoder")]
    assert sum(parts[:3]) == parts[3] < int(adamixer["decoder"].replace(",", ""))
    assert float(lors["decoder GMACs"]) > float(adamixer["decoder GMACs"])  # the residuals' products


def test_ap_of_several_seeds_and_of_one_run(configs, tmp_path):
    aps = [0.3, 0.35, 0.31]
    for seed, ap in enumerate(aps):
        log_run(tmp_path / f"runs/{NAMES[0]}/seed{seed}", [0.1, 0.2, ap])
    log_run(tmp_path / f"runs/{NAMES[1]}", [0.1, 0.2, 0.25])
    lors, adamixer = cells(comparison(configs, 64, 64, tmp_path / "runs"))
    assert lors["AP"] == f"{statistics.mean(aps):.3f} ± {statistics.stdev(aps):.3f}"
    assert lors["runs"] == "0.300, 0.350, 0.310"
    assert (adamixer["AP"], adamixer["runs"]) == ("0.250", "0.250")


def test_unfinished_and_missing_runs_are_named(configs, tmp_path):
    with pytest.raises(InputError, match=r"runs/lors-adamixer_r18-half_16-query_3e_shapes holds no run"):
        comparison(configs, 64, 64, tmp_path / "runs")
    log_run(tmp_path / f"runs/{NAMES[0]}", [0.1, 0.2])
    with pytest.raises(InputError, match="has no AP of its last epoch, 3"):
        comparison(configs, 64, 64, tmp_path / "runs")
