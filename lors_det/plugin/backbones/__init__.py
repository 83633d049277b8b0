"""Backbones of other libraries, with levels at the decoder's strides 4, 8, 16 and 32."""

from lors_det.plugin.backbones.timm import TimmBackbone
from lors_det.plugin.backbones.torchvision import TorchvisionBackbone

__all__ = ["TimmBackbone", "TorchvisionBackbone"]
