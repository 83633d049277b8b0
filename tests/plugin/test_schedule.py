"""The number of epochs is one value, and the learning rate follows it."""

from __future__ import annotations

import pytest
import torch
from mmengine.runner import Runner

from lors_det.plugin.config.reading import load_config

COCO = "lors_adamixer/lors-adamixer_r50_100-query_1x_coco"
STAYS = {  # part of the epochs for which the rate does
    "shapes/adamixer_r18-half_16-query_5e_shapes": 0,
    "ablations/bccd/lors": 0,
    "own/lors-adamixer_r18-half_50-query_60e_own": 1 / 3,
    "finetune/lors-adamixer_mobilenetv2_100-query_finetune_own": 1 / 3,
    "ablations/aquarium/lors": 0,
}
EPOCH_LENGTH = 20


@pytest.fixture
def load(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where no data is, a model may have any number of classes
    return lambda name, **options: load_config(
        root / f"configs/{name}.py",
        {"model.bbox_head.num_classes": 3, **{key.replace("__", "."): value for key, value in options.items()}},
    )


class Numbers(list[int]):
    """A data set that takes attributes, as all do that are objects of their own."""


def rates(cfg, work_dir) -> list[float]:
    """The learning rate of each iteration, by the Runner's own schedulers."""
    loader = dict(dataset=Numbers([0] * EPOCH_LENGTH), batch_size=1, sampler=dict(type="DefaultSampler", shuffle=False))
    runner = Runner(
        torch.nn.Linear(1, 1),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=cfg.train_cfg,
        optim_wrapper=dict(optimizer={**cfg.optim_wrapper.optimizer, "fused": False}),
        param_scheduler=cfg.param_scheduler,
        experiment_name=f"rates-{cfg.train_cfg.max_epochs}",
        log_level="ERROR",
        default_scope="mmdet",
    )
    runner._train_loop = runner.build_train_loop(cfg.train_cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    schedulers = runner.build_param_scheduler(cfg.param_scheduler)
    found = []
    for iteration in range(EPOCH_LENGTH * cfg.train_cfg.max_epochs):
        found += runner.optim_wrapper.get_lr()["lr"]
        runner.optim_wrapper.optimizer.step()
        for scheduler in schedulers:
            if not scheduler.by_epoch or (iteration + 1) % EPOCH_LENGTH == 0:
                scheduler.step()
    return found


@pytest.mark.parametrize("name", STAYS)
@pytest.mark.parametrize("epochs", [4, 9])
def test_a_cosine_ends_with_the_run(load, tmp_path, name, epochs):
    """lr(t) = lr (0.01 + 0.99 (1 + cos(pi max(t - s, 0) / (T - s))) / 2), looked at without the warm-up.

    T are the iterations of the run, and s those of the whole epochs for which the rate stays.
    """
    cfg = load(name, train_cfg__max_epochs=epochs)
    warm_up, cosine = cfg.param_scheduler
    assert (warm_up.start_factor, warm_up.end, warm_up.by_epoch) == (0.01, 50, False)
    cfg.param_scheduler = [cosine]
    time = torch.arange(EPOCH_LENGTH * epochs, dtype=torch.float64)
    stays = EPOCH_LENGTH * int(epochs * STAYS[name])
    part = (time - stays).clamp(min=0) / (len(time) - stays)
    expected = 5e-4 * (0.01 + 0.99 * (1 + torch.cos(torch.pi * part)) / 2)
    torch.testing.assert_close(torch.tensor(rates(cfg, tmp_path), dtype=torch.float64), expected, rtol=1e-9, atol=0)


def test_steps_stand_where_they_are_named(load, tmp_path):
    cfg = load(COCO, train_cfg__max_epochs=30)
    cfg.param_scheduler[0].end = EPOCH_LENGTH  # the warm-up, in iterations
    found = rates(cfg, tmp_path)[EPOCH_LENGTH::EPOCH_LENGTH]
    assert found == pytest.approx([2.5e-5] * 7 + [2.5e-6] * 3 + [2.5e-7] * 19)
