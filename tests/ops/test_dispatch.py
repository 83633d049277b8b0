"""When a kernel runs, and what is said where it does not."""

from __future__ import annotations

import logging

import pytest
import torch

from lors_det.ops import dispatch


@pytest.fixture(autouse=True)
def _nothing_logged_yet():
    dispatch._log_once.cache_clear()


@pytest.mark.parametrize(("policy", "free", "hindered"), [("auto", True, False), ("off", False, False)])
def test_policies(monkeypatch, policy, free, hindered):
    monkeypatch.setenv("LORS_DET_KERNELS", policy)
    assert dispatch.use_kernel("mix", None) is free
    assert dispatch.use_kernel("mix", "it rains") is hindered


def test_auto_is_the_default_and_tells_each_reason_once(monkeypatch, caplog):
    monkeypatch.delenv("LORS_DET_KERNELS", raising=False)
    with caplog.at_level(logging.INFO, logger="lors_det.ops.dispatch"):
        for obstacle in ("it rains", "it rains", "it snows"):
            assert not dispatch.use_kernel("mix", obstacle)
    assert [record.message for record in caplog.records] == [
        "mix runs in plain torch: it rains",
        "mix runs in plain torch: it snows",
    ]


def test_require_raises_with_the_obstacle(monkeypatch):
    monkeypatch.setenv("LORS_DET_KERNELS", "require")
    assert dispatch.use_kernel("mix", None)
    with pytest.raises(RuntimeError, match=r"kernel of mix is required .* but it rains"):
        dispatch.use_kernel("mix", "it rains")


def test_another_policy_is_named(monkeypatch):
    monkeypatch.setenv("LORS_DET_KERNELS", "maybe")
    with pytest.raises(ValueError, match="LORS_DET_KERNELS is 'maybe'; it must be one of auto, off, require"):
        dispatch.use_kernel("mix", None)


def test_obstacles_are_told_in_words():
    on_cpu = torch.zeros(1)
    assert dispatch.obstacle_of(on_cpu, on_cpu) == "its tensors are on the CPU"
    assert (
        dispatch.obstacle_of(on_cpu, torch.zeros(1, device="meta")) == "its tensors are on different devices, cpu, meta"
    )
