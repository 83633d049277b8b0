"""mmdet without compiled operations."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
import torchvision

import lors_det.plugin  # noqa: F401
from lors_det.plugin.mmcv_ops import shapes_alone

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


def test_an_import_prints_nothing():
    """Of what mmdet's editions say then, none gets into the JSON that a command prints."""
    script = """if True:
        import sys

        class Talking:
            def find_spec(self, name, *args):
                if name.startswith("mmdet.datasets"):
                    print("Skipping", name)

        sys.meta_path.insert(0, Talking())
        import lors_det.plugin, mmdet.datasets
    """
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == ""


def test_nms_keeps_the_best_of_overlapping_boxes():
    from mmcv.ops import batched_nms, nms

    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    scores = torch.tensor([0.5, 0.9, 0.3])
    detections, kept = nms(boxes, scores, 0.5)
    assert kept.tolist() == [1, 2]
    torch.testing.assert_close(detections[:, 4], torch.tensor([0.9, 0.3]))
    _, kept = batched_nms(boxes, scores, torch.tensor([0, 1, 1]), dict(type="nms", iou_threshold=0.5))
    assert kept.tolist() == [1, 0, 2]


DEFORM_CONVS = {  # every pair differs, so that height and width cannot be confused
    "plain": dict(in_channels=4, out_channels=6, kernel_size=3, padding=1),
    "pairs": dict(
        in_channels=4, out_channels=6, kernel_size=(3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2
    ),
    "one channel per group": dict(in_channels=32, out_channels=32, kernel_size=3, stride=2, padding=1, groups=32),
    "two deform groups": dict(in_channels=4, out_channels=2, kernel_size=3, padding=1, deform_groups=2),
}


def deform_conv(name: str, dtype: torch.dtype = torch.float32):
    """mmcv's layer, an input, and random offsets of some pixels, which often lead outside the image."""
    from mmcv.ops import DeformConv2d

    layer = DeformConv2d(**DEFORM_CONVS[name]).to(dtype)
    x = torch.randn(2, layer.in_channels, 7, 6, dtype=dtype, requires_grad=True)
    with torch.no_grad():
        height, width = F.conv2d(
            x, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups
        ).shape[2:]
    num_offsets = 2 * layer.deform_groups * layer.kernel_size[0] * layer.kernel_size[1]
    offset = (2 * torch.randn(2, num_offsets, height, width, dtype=dtype)).requires_grad_()
    return layer, x, offset


@pytest.mark.parametrize("name", DEFORM_CONVS)
def test_deform_conv_is_torchvisions(name):
    layer, x, offset = deform_conv(name)
    inputs = (x, offset, layer.weight)
    found = layer(x, offset)
    expected = torchvision.ops.deform_conv2d(*inputs, None, layer.stride, layer.padding, layer.dilation)
    torch.testing.assert_close(found, expected)
    grad = torch.randn_like(found)
    torch.testing.assert_close(torch.autograd.grad(found, inputs, grad), torch.autograd.grad(expected, inputs, grad))


@pytest.mark.parametrize("name", DEFORM_CONVS)
def test_deform_conv_without_offset_is_a_convolution(name):
    layer, x, offset = deform_conv(name)
    expected = F.conv2d(x, layer.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    torch.testing.assert_close(layer(x, torch.zeros_like(offset)), expected)


def test_deform_conv_gradients():
    from mmcv.ops import deform_conv2d

    x = torch.randn(1, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    offset = torch.randn(1, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    for trained in ((x, offset, weight), (x,), (offset,), (weight,)):  # mmcv asks for them in two calls
        inputs = [
            tensor if any(tensor is each for each in trained) else tensor.detach() for tensor in (x, offset, weight)
        ]
        assert torch.autograd.gradcheck(lambda *inputs: deform_conv2d(*inputs, 2, 1, 1, 2), inputs)


@needs_lite
def test_deform_conv_in_mixed_precision():
    """Offsets in bfloat16 make mmcv compute in bfloat16, which torchvision lacks."""
    layer, x, offset = deform_conv("pairs")
    inputs = (x, offset, layer.weight)
    narrow = [tensor.detach().bfloat16().requires_grad_() for tensor in inputs]
    exact = layer(*(tensor.float() for tensor in narrow[:2]))
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x, narrow[1])
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=2e-2, atol=2e-2)
    found.float().square().sum().backward()
    assert (x.grad.dtype, layer.weight.grad.dtype) == (torch.float32, torch.float32)
    assert all(tensor.grad.norm() > 0 for tensor in (x, narrow[1], layer.weight))


@needs_lite
def test_deform_conv_refuses_shapes_that_do_not_fit():
    """torchvision alone would take both, for other numbers of groups."""
    from mmcv.ops import deform_conv2d

    x, offset, weight = torch.zeros(1, 4, 5, 5), torch.zeros(1, 18, 5, 5), torch.zeros(4, 2, 3, 3)
    with pytest.raises(ValueError, match=r"4 channels with 18 offsets; .* takes 2 channels and 18 offsets"):
        deform_conv2d(x, offset, weight, 1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"takes 4 channels and 36 offsets"):
        deform_conv2d(x, offset, weight, 1, 1, 1, 2, 2)


def test_everything_is_registered_in_mmdet():
    from mmdet.registry import DATASETS, HOOKS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS

    names = {
        MODELS: ("AdaMixerHead", "SharedNormNeck", "SetCriterion"),
        DATASETS: ("CocoDetection",),
        HOOKS: ("PlainCheckpointHook", "CheckpointGuardHook", "DataGuardHook"),
        OPTIM_WRAPPER_CONSTRUCTORS: ("MergedOptimWrapperConstructor",),
    }
    for registry, members in names.items():
        for name in members:
            assert registry.get(name).__module__.startswith("lors_det.plugin"), name


def test_deformable_convolution_tells_shapes_without_values():
    from mmcv.ops.deform_conv import DeformConv2dPack, ext_module

    layer = DeformConv2dPack(4, 6, 3, stride=2, padding=1).to("meta")
    usual = ext_module.deform_conv_forward
    with shapes_alone(), torch.no_grad():
        assert layer(torch.zeros(1, 4, 9, 8, device="meta")).shape == (1, 6, 5, 4)
    assert ext_module.deform_conv_forward is usual
    with pytest.raises(ZeroDivisionError), shapes_alone():
        1 / 0  # noqa: B018
    assert ext_module.deform_conv_forward is usual
