"""Several runs in one process have nothing in common."""

from __future__ import annotations

import json
import warnings

import pytest
from mmengine.runner import Runner
from references.tiny import tiny_config
from torch import nn

from lors_det.plugin.screen.console import LEVELS, make_runner
from lors_det.plugin.screen.own_runner import OwnRunner


@pytest.mark.parametrize("level", LEVELS)
def test_two_runs_in_a_process_write_into_their_own_folders(data, tmp_path, level):
    """Also where a config names its visualizer, as those of mmdet do."""
    for name in ("first", "second"):
        cfg = tiny_config(
            data,
            tmp_path / name,
            **{"train_cfg.max_epochs": 1, "visualizer.name": "visualizer", "experiment_name": f"{level}-{name}"},
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*instance named of.*")
            make_runner(cfg, level).train()
        assert cfg.visualizer.name == "visualizer", "the config was changed"
    for name in ("first", "second"):
        (scalars,) = (tmp_path / name).glob("*/vis_data/scalars.json")
        lines = [json.loads(line) for line in scalars.read_text().splitlines()]
        assert [line["step"] for line in lines if "loss" in line] == [1, 2]
        assert len(list(scalars.parent.glob("events.*"))) == 1


def test_what_torch_says_of_mmengines_call_is_not_shown_and_all_else_is(monkeypatch):
    def wrap(runner: object, wrapper: object, model: nn.Module) -> nn.Module:
        warnings.warn("`broadcast_buffers` is deprecated. Use `forward_sync_buffers`", FutureWarning, stacklevel=2)
        warnings.warn("something else", FutureWarning, stacklevel=2)
        return model

    monkeypatch.setattr(Runner, "wrap_model", wrap)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        OwnRunner.wrap_model(object.__new__(OwnRunner), None, nn.Identity())
    assert [str(each.message) for each in shown] == ["something else"]
