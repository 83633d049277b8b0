"""Configs of the package by name: on the command line, as a base, and from mmengine's hub."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from mmdet.registry import HOOKS, MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS as ROOT_MODELS

from lors_det.errors import InputError
from lors_det.named_files import CONFIGS, resolve_config_path
from lors_det.plugin.config.reading import load_config

SHAPES = "lors_det::shapes/lors-adamixer_r18-half_16-query_5e_shapes.py"
COCO = "lors_det::lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py"


@pytest.fixture
def child(tmp_path) -> Config:
    """A user's config that inherits one of the package."""
    path = tmp_path / "mine.py"
    path.write_text(f'_base_ = "{SHAPES}"\nmodel = dict(bbox_head=dict(num_classes=3))\n')
    return Config.fromfile(path)


@pytest.mark.parametrize("name", [SHAPES, COCO])
def test_a_name_is_the_checkouts_own_file(root, name):
    """One family has a metafile, which mmengine's hub reads first, and the other has none."""
    file = root / "configs" / name.partition("::")[2]
    assert resolve_config_path(name) == file
    assert Path(get_config(name).filename).samefile(file)


def test_the_command_lines_config_is_that_of_the_name(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = {"model.bbox_head.num_classes": 3}
    named, read = (load_config(path, options) for path in (SHAPES, root / "configs" / SHAPES.partition("::")[2]))
    assert named.to_dict() == read.to_dict()


@pytest.mark.parametrize("models", [MODELS, ROOT_MODELS], ids=["mmdet", "mmengine"])
def test_a_base_of_the_package_is_built_from_mmdets_registries(child, models, caplog):
    assert child.model._scope_ == "lors_det"  # or there would be nothing to show
    with caplog.at_level(logging.WARNING):
        model = models.build(child.model)
        names = ("PlainCheckpointHook", "NumClassCheckHook", "IterTimerHook")  # ours, mmdet's, mmengine's
        hooks = [HOOKS.build(dict(type=name, _scope_="lors_det")) for name in names]
        transforms = [TRANSFORMS.build(step) for step in child.train_dataloader.dataset.pipeline]
    assert type(model).__module__.startswith("mmdet.")
    assert type(model.bbox_head).__module__ == "lors_det.plugin.head"
    assert [type(hook).__module__.partition(".")[0] for hook in hooks] == ["lors_det", "mmdet", "mmengine"]
    assert len(transforms) == len(child.train_dataloader.dataset.pipeline)
    assert "scope" not in caplog.text


def test_a_wrong_name_is_told_what_is_near_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lors_first.py").touch()
    for wrong, near in (
        (SHAPES.replace("_shapes.py", "_shape.py"), SHAPES),
        (SHAPES.removesuffix(".py"), SHAPES),
        (COCO.replace("lors_adamixer/", "adamixer/"), COCO),
        (tmp_path / Path(COCO).name, COCO),
        ("configs/ablations/coco/r9.py", "lors_det::ablations/coco/r8.py"),  # and not that of another data set
        (tmp_path / "lors_frist.py", str(tmp_path / "lors_first.py")),
    ):
        with pytest.raises(InputError) as caught:
            resolve_config_path(wrong)
        start, _, names = str(caught.value).partition("; near it are ")
        assert start == f"config {wrong} does not exist"
        assert names.split(", ")[0] == near


def test_nothing_near_says_where_the_configs_are():
    for wrong in ("lors_det::", "lors_det::_base_/modl_r50.py", "elsewhere::a/b.py"):
        with pytest.raises(InputError) as caught:
            resolve_config_path(wrong)
        assert str(caught.value) == f"config {wrong} does not exist; the configs of this package are in {CONFIGS}"


def test_a_folder_is_no_config():
    with pytest.raises(InputError, match="config lors_det::shapes is a folder; name a file in it"):
        resolve_config_path("lors_det::shapes")
