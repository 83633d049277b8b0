"""A checkpoint is tested by the config that its training left, or that it carries; nothing beside it is run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from lors_det.cli import run
from lors_det.errors import InputError
from lors_det.plugin.saving.safe_loading import load_from_local
from lors_det.plugin.saving.stored_config import config_of
from lors_det.training.config_to_test import config_to_test


def carried_by(checkpoint: Path) -> Config | None:
    return config_of(load_from_local(str(checkpoint), "cpu"), str(checkpoint))


@pytest.fixture
def alone(trained, tmp_path) -> Path:
    """The checkpoint in a folder of its own, beside a script that acts where it is run."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    script = f"import pathlib\npathlib.Path({str(tmp_path / 'acted')!r}).touch()\nmodel = dict()\n"
    (folder / "script.py").write_text(script)
    (folder / "broken.py").write_text("model = dict(")
    return Path(shutil.copy(trained.checkpoint, folder / "best.pth"))


def test_the_file_that_the_training_left_comes_first(trained):
    assert config_to_test(trained.checkpoint, None) == str(trained.config)


def test_several_are_no_choice(trained, alone):
    for name in ("one.py", "two.py"):
        shutil.copy(trained.config, alone.parent / name)
    assert isinstance(config_to_test(alone, carried_by(alone)), Config)
    with pytest.raises(InputError, match=r"carries no config, and its folder holds 2 configs, one\.py, two\.py; name"):
        config_to_test(alone, None)


def test_a_checkpoint_of_weights_alone_asks_for_a_config(alone):
    with pytest.raises(InputError, match="its folder holds no config of a training; name it: test CONFIG CHECKPOINT"):
        config_to_test(alone, None)


def test_a_carried_type_that_nobody_registers_is_not_imported(alone):
    carried = carried_by(alone)
    carried.model.backbone.type = "os.system"
    with pytest.raises(InputError, match=r"model\.backbone\.type is 'os\.system'.* is not imported"):
        config_to_test(alone, carried)
    assert config_to_test(alone, carried, trust=True).model.backbone.type == "os.system"
    carried = carried_by(alone)
    carried.default_scope = "another"  # of which mmengine would import another.registry
    with pytest.raises(InputError, match=r"default_scope is 'another'.* is not imported"):
        config_to_test(alone, carried)


def test_a_shipped_checkpoint_is_tested_by_what_it_carries(trained, alone, tmp_path, monkeypatch):
    """As by its config, in a folder of its own name, where the training's is elsewhere."""
    content = torch.load(alone, weights_only=True)
    content["meta"]["config_data"]["work_dir"] = str(tmp_path / "elsewhere")
    torch.save(content, alone)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    run("test", [str(alone)])
    run("test", [str(trained.config), str(trained.checkpoint), "--work-dir", "by_its_config"])
    found, expected = (
        json.loads(next(Path(folder).glob("[0-9]*/*.json")).read_text())
        for folder in ("work_dirs/best", "by_its_config")
    )
    assert found["coco/bbox_mAP"] == expected["coco/bbox_mAP"]
    assert Path("work_dirs/best/best_test.py").is_file()
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "acted").exists()


@pytest.mark.parametrize(("lacks", "words"), [("test", ["--tta"]), ("val", ["--split", "val"])])
def test_a_config_without_the_split_is_named(trained, tmp_path, capsys, lacks, words):
    config = tmp_path / "lacks.py"
    parts = "".join(f"{lacks}_{part} = None\n" for part in ("dataloader", "evaluator", "cfg"))
    config.write_text(f'_base_ = ["{trained.config}"]\n{parts}')
    with pytest.raises(SystemExit) as ended:
        run("test", [str(config), str(trained.checkpoint), "--work-dir", str(tmp_path / "run"), *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"config {config} has no {lacks}_dataloader" in said
    assert ("--split val evaluates its val_dataloader" in said) == (lacks == "test")
