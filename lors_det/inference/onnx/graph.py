"""What an exported file computes: from pixels of the images to their detections."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from torch import Tensor, nn

from lors_det.errors import InputError
from lors_det.plugin.head import AdaMixerHead


class DetectionGraph(nn.Module):
    """A detector from pixels to its best detections, with the preprocessing of its config inside.

    Args:
        model: mmdet's single-stage detector with an :class:`AdaMixerHead`, in evaluation mode.

    Raises:
        InputError: if the model has another head, or a preprocessor of another kind.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        head, preprocessor = (getattr(model, name, None) for name in ("bbox_head", "data_preprocessor"))
        if not isinstance(head, AdaMixerHead):
            raise InputError(f"the model's head is {type(head).__name__}; models with an AdaMixerHead can be exported")
        if type(preprocessor) is not DetDataPreprocessor:
            raise InputError(
                f"config key model.data_preprocessor.type is {type(preprocessor).__name__}; DetDataPreprocessor can be "
                "exported"
            )

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detections, best first.

        Args:
            images: (B, H, W, 3), RGB, 0..255, uint8; an image begins at the upper left, and what is beside it is not
                read.
            sizes: (B, 2), width and height of each image in pixels, int64.

        Returns:
            Boxes (B, K, 4), x1, y1, x2, y2 in pixels; scores (B, K), 0..1; labels (B, K), int64.
        """
        preprocessor = self.model.data_preprocessor
        pixels = images.permute(0, 3, 1, 2).float()
        if not preprocessor._channel_conversion:  # which turns BGR, as files are read, into RGB
            pixels = pixels.flip(1)
        if preprocessor._enable_normalize:
            pixels = (pixels - preprocessor.mean) / preprocessor.std
        height, width = images.shape[1:3]
        inside_x = torch.arange(width, device=images.device) < sizes[:, :1]  # (B, W)
        inside_y = torch.arange(height, device=images.device) < sizes[:, 1:]
        inside = inside_y[:, None, :, None] & inside_x[:, None, None, :]
        pixels = torch.where(inside, pixels, float(preprocessor.pad_value))
        boxes, scores, labels = self.model.bbox_head.best(self.model.extract_feat(pixels), sizes.float())
        return boxes, scores, labels
