"""Model cards and metafiles say what the configs are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from lors_det.adamixer import Decoder, DecoderSpec
from lors_det.plugin.config.reading import load_config
from lors_det.reports.accounting import count_macs, count_parameters

ROOT = Path(__file__).parent.parent
METAFILES = [ROOT / path for path in yaml.safe_load((ROOT / "model-index.yml").read_text())["Import"]]
MODELS = {model["Name"]: model for path in METAFILES for model in yaml.safe_load(path.read_text())["Models"]}
IMAGE = (800, 1280)
"""Height and width that the cards state GFLOPs for, pixels."""


def card_rows(family: Path) -> dict[str, list[str]]:
    """Cells of the model table, by the config that a row links."""
    rows = {}
    for line in (family / "README.md").read_text().splitlines():
        if link := re.search(r"\[config\]\((.+)\.py\)", line):
            rows[link[1]] = [cell.strip() for cell in line.strip("|").split("|")]
    return rows


@pytest.mark.parametrize("metafile", METAFILES, ids=lambda path: path.parent.name)
def test_a_family_lists_each_of_its_configs_once(metafile):
    content = yaml.safe_load(metafile.read_text())
    leaves = sorted(path.stem for path in metafile.parent.glob("*.py"))
    assert sorted(model["Name"] for model in content["Models"]) == leaves
    assert sorted(card_rows(metafile.parent)) == leaves
    assert (ROOT / content["Collections"][0]["README"]).samefile(metafile.parent / "README.md")
    for model in content["Models"]:
        assert model["In Collection"] == content["Collections"][0]["Name"]
        assert (ROOT / model["Config"]).stem == model["Name"]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_what_its_entries_say(name):
    entry = MODELS[name]
    cfg = load_config(ROOT / entry["Config"])
    numbers = entry["Metadata"]
    with torch.device("meta"):
        decoder = Decoder(cfg.model.bbox_head.num_classes, DecoderSpec(**cfg.model.bbox_head.decoder))
    assert sum(parameter.numel() for parameter in decoder.parameters()) == numbers["Decoder Parameters"]
    assert round(count_macs(cfg, *IMAGE)["total"] / 1e9, 1) == numbers["GFLOPs"]
    assert cfg.train_cfg.max_epochs == numbers["Epochs"]
    row = card_rows((ROOT / entry["Config"]).parent)[name]
    assert row[2] == re.search(r"(\d+)-query", name)[1]
    assert [int(cell.replace(" ", "")) for cell in row[3:5]] == [numbers["Decoder Parameters"], numbers["Parameters"]]
    assert float(row[5]) == numbers["GFLOPs"]


@pytest.mark.parametrize("backbone", ["r50", "r101", "x101-32x4d-dcn", "swin-s"])
def test_totals_of_one_model_of_each_backbone(backbone):
    entry = next(entry for name, entry in MODELS.items() if name.split("_")[1] == backbone)
    assert count_parameters(load_config(ROOT / entry["Config"]))["model"] == entry["Metadata"]["Parameters"]
