"""What reads no image needs no data."""

from __future__ import annotations

import json

import pytest
from references.tiny import CONFIGS, LORS, make_data, overrides

from lors_det.cli import run
from lors_det.errors import InputError
from lors_det.plugin.config.reading import load_config
from lors_det.plugin.config.stand_in import CLASSES, SIDE_PX, load_without_data

FINETUNE = next(CONFIGS.glob("finetune/*mobilenetv2*.py"))
SAID = f"no data: counted for {CLASSES} classes"


@pytest.fixture(autouse=True)
def _nowhere(tmp_path, monkeypatch):
    """A folder without data."""
    monkeypatch.chdir(tmp_path)


def test_a_number_of_classes_and_a_side_stand_in_and_nothing_else(tmp_path):
    said: list[str] = []
    cfg = load_without_data(FINETUNE, say=said.append)
    assert said == [SAID]
    assert cfg.model.bbox_head.num_classes == CLASSES
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (SIDE_PX, SIDE_PX)
    assert cfg.train_cfg.max_epochs is None
    said.clear()
    cfg = load_without_data(FINETUNE, {"model.bbox_head.num_classes": 3}, say=said.append)
    assert cfg.model.bbox_head.num_classes == 3
    assert said == []


def test_where_there_is_data_nothing_stands_in(tmp_path):
    data = make_data(tmp_path / "shapes")
    said: list[str] = []
    options = {**overrides(data), "model.bbox_head.num_classes": None}
    assert load_without_data(LORS, options, say=said.append).model.bbox_head.num_classes == 6
    assert said == []


def test_a_training_still_asks_for_data():
    with pytest.raises(
        InputError, match=r"check data_root and ann_file, or name a folder where the command takes one: --data DIR"
    ):
        load_config(FINETUNE)


def test_commands_that_read_no_image_take_a_config_without_data(capsys):
    run("count-params", [str(FINETUNE), "--json"])
    printed = capsys.readouterr()
    counts = json.loads(printed.out)
    assert printed.err.splitlines() == [SAID]
    run("count-flops", [str(FINETUNE), "--shape", "64", "64", "--json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["total"] > 0
    assert printed.err.splitlines() == [SAID]
    run("compare", [str(FINETUNE), "--shape", "64", "64"])
    printed = capsys.readouterr()
    assert f"{counts['decoder']:,}" in printed.out
    assert printed.err.splitlines() == [SAID]
    run("check-config", [str(FINETUNE)])
    printed = capsys.readouterr().out
    assert f"note: {SAID}" in printed
    assert printed.count("chosen from the data") == 2
    assert "None images" not in printed
