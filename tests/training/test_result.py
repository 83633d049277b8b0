"""A result's figures are those of the checkpoint that it names."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer

from lors_det.plugin.saving.plain_data import to_plain
from lors_det.training.result import report, result_of, stored_result

HISTORY = {"coco/bbox_mAP": [0.3, 0.4, 0.1], "coco/bbox_mAP_50": [0.8, 0.7, 0.2], "coco/loss": [3.0, 2.0, 1.0]}


def run(folder, *, best: str | None, rule: str = "greater", until: int = 3):
    hook = CheckpointHook(save_best=best, rule=rule if best else None)
    if best:
        hook.best_ckpt_path = str(folder / "best_epoch.pth")
    hook.last_ckpt = str(folder / "epoch_3.pth")
    (folder / "epoch_3.pth").touch()
    scalars = {f"val/{name}": HistoryBuffer(values[:until], [1] * until) for name, values in HISTORY.items()}
    cfg = SimpleNamespace(filename="config.py")
    return SimpleNamespace(
        work_dir=str(folder), cfg=cfg, hooks=[hook], message_hub=SimpleNamespace(log_scalars=scalars)
    )


@pytest.mark.parametrize(
    ("best", "rule", "place"),
    [
        ("coco/bbox_mAP", "greater", 1),
        ("coco/bbox_mAP_50", "greater", 0),
        ("coco/loss", "less", 2),
        (None, "greater", 2),
    ],
)
def test_figures_are_of_the_validation_that_the_checkpoint_was_kept_for(tmp_path, capsys, best, rule, place):
    result = result_of(run(tmp_path, best=best, rule=rule), None)
    assert result.checkpoint.name == ("best_epoch.pth" if best else "epoch_3.pth")
    assert result.metrics == {name: values[place] for name, values in HISTORY.items()}
    report(result)
    expected = f"{'best' if best else 'last'} validation: AP {result.metrics['coco/bbox_mAP']:.3f}"
    assert capsys.readouterr().out.startswith(expected)


def test_a_stored_result_is_of_the_best_checkpoints_own_validation(tmp_path):
    """Its history ends there, whatever was best by another figure before."""
    scalars = run(tmp_path, best=None, until=2).message_hub.log_scalars
    torch.save(to_plain({"message_hub": {"log_scalars": scalars}}, "a test"), tmp_path / "best_epoch.pth")
    cfg = Config(dict(work_dir=str(tmp_path)), filename=__file__)
    result = stored_result(cfg, tmp_path / "epoch_3.pth", None)
    assert result.checkpoint.name == "best_epoch.pth"
    assert result.metrics == {name: values[1] for name, values in HISTORY.items()}


def test_a_checkpoint_that_was_not_written_is_none(tmp_path):
    """As that of a resumed run in another folder, which ends before it writes one."""
    ended = run(tmp_path, best=None)
    (tmp_path / "epoch_3.pth").unlink()
    assert result_of(ended, None).checkpoint is None


def test_where_nothing_was_validated_there_are_none(tmp_path):
    assert result_of(run(tmp_path, best=None, until=0), None).metrics == {}
