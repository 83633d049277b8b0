"""A training by iterations: its rate falls, its checkpoints are written and its figures told by them."""

from __future__ import annotations

import pytest
import torch
from references.tiny import make_data, write_config

import lors_det
from lors_det.errors import InputError
from lors_det.reports.scalars import read_scalars

LOOP = 'train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters={0}, val_interval=2)\n'
REST = """
param_scheduler = [dict(type="MultiStepLR", by_epoch=False, milestones=[3], gamma=0.1)]
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=2), logger=dict(log_metric_by_epoch=False, interval=1)
)
log_processor = dict(by_epoch=False)
train_dataloader = dict(sampler=dict(_delete_=True, type="InfiniteSampler"), num_workers=0)
"""


@pytest.fixture
def config(tmp_path):
    write_config(tmp_path / "epochs.py", make_data(tmp_path / "shapes"))

    def written(max_iters: int, rest: str = REST):
        path = tmp_path / "iterations.py"
        path.write_text(f'_base_ = ["epochs.py"]\n{LOOP.format(max_iters)}{rest}')
        return path

    return written


def test_it_trains_and_goes_on(config, tmp_path):
    place = tmp_path / "run"
    lors_det.train(config(4), work_dir=place, console="quiet")
    steps, validations = read_scalars(place)
    assert [entry["lr"] for entry in steps] == pytest.approx([steps[0]["lr"]] * 3 + [steps[0]["lr"] / 10])
    assert [entry["step"] for entry in validations] == [2, 4]
    assert {path.name for path in place.glob("iter_*.pth")} == {"iter_2.pth", "iter_4.pth"}
    lors_det.train(config(6), work_dir=place, resume_from="auto", console="quiet")
    assert torch.load((place / "last_checkpoint").read_text(), weights_only=True)["meta"]["iter"] == 6


def test_a_recipe_by_epochs_is_refused(config, tmp_path):
    with pytest.raises(
        InputError, match=r"train_cfg\.max_iters .*default_hooks\.checkpoint\.by_epoch, .* would be True"
    ):
        lors_det.train(config(4, rest=""), work_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
