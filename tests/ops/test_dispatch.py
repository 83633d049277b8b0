"""When a kernel runs, and what is said where it does not."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch

from lors_det.ops import FeatureBank, adaptive_mix, dispatch, sample_3d


@pytest.fixture(autouse=True)
def _nothing_logged_yet():
    dispatch._tell_once.cache_clear()


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


def test_what_costs_speed_is_a_warning_once(monkeypatch):
    monkeypatch.delenv("LORS_DET_KERNELS", raising=False)
    with pytest.warns(UserWarning, match="mix runs in plain torch: it rains"):
        assert not dispatch.use_kernel("mix", "it rains", warn=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not dispatch.use_kernel("mix", "it rains", warn=True)


def test_the_cpu_is_no_loss(monkeypatch):
    monkeypatch.delenv("LORS_DET_KERNELS", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adaptive_mix(torch.randn(1, 2, 4), torch.randn(1, 4, 4), torch.randn(1, 3, 2))


@pytest.mark.parametrize("operation", ["mix", "sample"])
def test_plain_torch_compiles_in_one_graph(monkeypatch, operation):
    """What is told once is no part of it."""
    monkeypatch.delenv("LORS_DET_KERNELS", raising=False)

    def mix(x, channel, spatial):
        return adaptive_mix(x, channel, spatial)

    def sample(level, points):
        return sample_3d(FeatureBank.from_levels([level], (4,)), points)

    op, shapes = {
        "mix": (mix, [(1, 2, 4), (1, 4, 4), (1, 3, 2)]),
        "sample": (sample, [(1, 4, 6, 6), (1, 2, 2, 3, 3)]),
    }[operation]
    tensors = [torch.rand(shape) for shape in shapes]
    torch.testing.assert_close(torch.compile(op, fullgraph=True, backend="eager")(*tensors), op(*tensors))


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


def legacy(allowed: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = allowed


def named(precision: str) -> None:
    torch.set_float32_matmul_precision(precision)


def of_products(precision: str) -> None:
    torch.backends.cuda.matmul.fp32_precision = precision


def of_all(precision: str) -> None:
    torch.backends.fp32_precision = precision


@pytest.fixture
def _full_precision_after():
    yield
    named("highest")
    if hasattr(torch.backends, "fp32_precision"):
        of_all("none")
        of_products("none")  # as at the start: as that of all
    assert not torch.backends.cuda.matmul.allow_tf32


needs_new_setting = pytest.mark.skipif(
    not hasattr(torch.backends, "fp32_precision"), reason="this torch has the older setting alone"
)


@pytest.mark.usefixtures("_full_precision_after")
@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ([], False),
        ([(legacy, True)], True),
        ([(named, "high")], True),
        ([(named, "medium")], True),
        ([(legacy, True), (legacy, False)], False),
        pytest.param([(of_products, "tf32")], True, marks=needs_new_setting),
        pytest.param([(of_all, "tf32")], True, marks=needs_new_setting),
        pytest.param([(of_all, "tf32"), (of_products, "ieee")], False, marks=needs_new_setting),
        pytest.param([(legacy, True), (of_products, "ieee")], False, marks=needs_new_setting),
    ],
)
def test_products_are_as_precise_as_torch_was_told_by_either_setting(settings, allowed):
    """Where the newer setting was used, torch raises when the older one is read."""
    pytest.importorskip("triton", reason="Triton is not installed; kernels are not tested")
    from lors_det.ops.triton.mix import precision

    for set_it, value in settings:
        set_it(value)
    assert precision(torch.float32) == ("tf32" if allowed else "ieee")
    assert precision(torch.bfloat16) == "ieee"
