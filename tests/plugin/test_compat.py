"""mmdet without compiled operations."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch

import lors_det.plugin  # noqa: F401

LITE = importlib.util.find_spec("mmcv._ext") is None
needs_lite = pytest.mark.skipif(not LITE, reason="full mmcv is installed; the stand-in is not used")


@needs_lite
def test_the_stand_in_leaves_no_trace():
    import mmcv.ops

    assert "mmcv._ext" not in sys.modules
    assert importlib.util.find_spec("mmcv._ext") is None
    with pytest.raises(RuntimeError, match=r"compiled operation 'roi_align_forward'.*install the full mmcv"):
        mmcv.ops.roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), (2, 2))


@needs_lite
def test_mmdet_needs_the_plugin_first():
    """Which is why every tool imports it: without it, mmdet does not import here."""
    found = subprocess.run([sys.executable, "-c", "import mmdet.models"], capture_output=True, text=True)
    assert "mmcv._ext" in found.stderr


def test_nms_keeps_the_best_of_overlapping_boxes():
    from mmcv.ops import batched_nms, nms

    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    scores = torch.tensor([0.5, 0.9, 0.3])
    detections, kept = nms(boxes, scores, 0.5)
    assert kept.tolist() == [1, 2]
    torch.testing.assert_close(detections[:, 4], torch.tensor([0.9, 0.3]))
    _, kept = batched_nms(boxes, scores, torch.tensor([0, 1, 1]), dict(type="nms", iou_threshold=0.5))
    assert kept.tolist() == [1, 0, 2]


def test_everything_is_registered_in_mmdet():
    from mmdet.registry import DATASETS, HOOKS, MODELS

    names = {
        MODELS: ("AdaMixerHead", "SharedNormNeck", "SetCriterion"),
        DATASETS: ("CocoDetection",),
        HOOKS: ("PlainCheckpointHook", "CheckpointGuardHook"),
    }
    for registry, members in names.items():
        for name in members:
            assert registry.get(name).__module__.startswith("lors_det.plugin"), name
