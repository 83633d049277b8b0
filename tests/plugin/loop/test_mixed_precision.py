"""Resuming, and steps that are not finite, in mixed precision: in bf16 without a GPU too, with a scaled loss on one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.optim.optimizer import amp_optimizer_wrapper
from references.loops import EVERY_STEP, KillHook, SpoilHook, assert_same, run

from lors_det.errors import InputError

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
PRECISIONS = [
    pytest.param(dict(dtype="bfloat16", loss_scale=dict(enabled=False)), id="bf16"),
    pytest.param(dict(dtype="bfloat16"), id="scaled bf16", marks=needs_gpu),
    pytest.param(dict(dtype="float16"), id="fp16", marks=needs_gpu),
]


@pytest.fixture(autouse=True)
def wrapper_without_a_gpu(monkeypatch) -> None:
    """mmengine's wrapper refuses to work on a CPU, whose autocast knows bf16 as well."""
    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)


def options(precision: dict[str, Any], **more: object) -> dict[str, object]:
    own = {f"optim_wrapper.{key}": value for key, value in {"type": "AmpOptimWrapper", **precision}.items()}
    return {**EVERY_STEP, **own, **more}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(data, tmp_path, precision):
    whole = run(data, tmp_path / "whole", **options(precision))
    run(data, tmp_path / "run", KillHook(6), **options(precision))
    resumed = run(data, tmp_path / "run", resume=True, **options(precision))
    assert_same(resumed, whole)
    assert resumed.optim_wrapper.loss_scaler.state_dict() == whole.optim_wrapper.loss_scaler.state_dict()
    plain = run(data, tmp_path / "plain")  # which differs: what is tested is mixed
    with pytest.raises(AssertionError):
        assert_same(plain, whole)


@pytest.mark.parametrize("what", ["weight", "gradient"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_step_that_is_not_finite_is_left_out(data, tmp_path, precision, what):
    """By the loop; in fp16, gradients by the scaler. The hook looks that no weight has changed."""
    skipping = options(precision, **{"train_cfg.when_not_finite": "skip"})
    runner = run(data, tmp_path, hook=SpoilHook((2,), what), **skipping)
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    by_scaler = precision["dtype"] == "float16" and what == "gradient"
    assert len(list(tmp_path.glob("not_finite/*"))) == (not by_scaler)


@pytest.mark.parametrize("what", ["weight", "gradient"])
@pytest.mark.parametrize("precision", PRECISIONS[:2])
def test_a_step_that_is_not_finite_ends_the_run(data, tmp_path, precision, what):
    words = (
        r"stage 1 predicts" if what == "weight" else r"the gradients of bbox_head\.decoder\.stack\.stages\.1\.classify"
    )
    with pytest.raises(InputError, match=rf"step 2 of epoch 1: {words}"):
        run(data, tmp_path, hook=SpoilHook((2,), what), **options(precision))
