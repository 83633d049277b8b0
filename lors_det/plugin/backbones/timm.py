"""Any model of timm as a backbone: convolutional and windowed ones by their levels, plain ViTs by a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from lors_det.plugin.backbones.freezing import check_frozen_stages, hold_still
from lors_det.plugin.backbones.simple_pyramid import SimplePyramid
from lors_det.plugin.backbones.timm_levels import TimmLevels, find_levels
from lors_det.plugin.backbones.timm_model import build_timm, depths_by_timm, hub_state, to_timm_names
from lors_det.plugin.backbones.weights import STRIDES, load_whole, pretrained_state
from lors_det.plugin.layer_decay import depths_by_children


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A model of timm, read at strides 4, 8, 16 and 32.

    A plain ViT (``vit_small_patch14_dinov2``, ``vit_small_patch16_dinov3``) has one map only, from which
    :class:`SimplePyramid` makes the levels. Its pictures are padded to a multiple of 32 and, where the patch is not a
    power of 2, scaled: of 14 pixels to 14/16, so that a patch covers 16 pixels of the network's input.

    Weights have timm's own names, below ``model.``: ``init_cfg=dict(type="Pretrained", checkpoint=...)`` takes files
    of timm and what timm itself converts, .pth and .safetensors. Otherwise it starts from timm's random weights.

    Weights go with the mean and deviation of the pictures that they were trained with, which are ``pretrained_cfg``'s
    in timm and ``model.data_preprocessor``'s in the config; the log says the former when they are loaded.

    It subclasses ``BaseModule`` because mmengine's ``init_weights`` is where weights are loaded.

    Attributes:
        out_channels: channels of the four levels, what the neck's ``in_channels`` must be.

    Args:
        model_name: of ``timm.list_models()``.
        out_indices: places among the model's intermediate maps that are the levels; by default the last of each
            stride, and of a plain ViT the last block. Blocks after the last are not built.
        frozen_stages: -1: every part learns; 0: the stem does not; n: neither does what level n is made of, and of a
            plain ViT its first n blocks.
        norm_eval: BatchNorms keep the statistics that they were loaded with.
        drop_path_rate: of stochastic depth, where the model has it.
        img_size: of the table of positions, pixels, where the model has one; it is interpolated to other sizes.
        pretrained: load the weights of timm's hub, in ``init_weights``, where ``init_cfg`` names no file.
        init_cfg: None, or ``dict(type="Pretrained", checkpoint=...)``.

    Raises:
        InputError: if timm is not installed or has no such model, or the model has no levels at these strides or
            takes pictures of one size only.
    """

    def __init__(
        self,
        model_name: str = "convnext_tiny",
        *,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = True,
        drop_path_rate: float = 0.0,
        img_size: int | tuple[int, int] | None = None,
        pretrained: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.model_name = model_name
        self.pretrained = pretrained
        self.norm_eval = norm_eval
        self._options = {"drop_path_rate": drop_path_rate or None, "img_size": img_size}
        with torch.device("meta"):
            self._levels: TimmLevels = find_levels(build_timm(model_name, self._options), model_name, out_indices)
        self.model = build_timm(model_name, self._options)
        self._levels.prune(self.model)
        self.pyramid: SimplePyramid | None = None
        if self._levels.plain:
            self.pyramid = SimplePyramid(self._levels.channels[0], self._levels.token_stride)
        self.out_channels = self.pyramid.out_channels if self.pyramid else self._levels.channels
        depths = self._depths()
        check_frozen_stages(frozen_stages, max(depths.values()) if self._levels.plain else len(STRIDES))
        frozen = self._levels.frozen(frozen_stages, depths)
        for name, parameter in self.model.named_parameters():
            if name in frozen or name not in self._levels.used:
                parameter.requires_grad_(False)
        parts = {name: [f"{name}.{own}" for own, _ in part.named_parameters()] for name, part in _parts(self.model)}
        self._frozen_parts = tuple(name for name, inside in parts.items() if inside and frozen.issuperset(inside))
        self.train()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to levels (B, out_channels[l], H / s_l, W / s_l), s = 4, 8, 16, 32."""
        if self.pyramid is None:
            return tuple(self._levels.read(self.model, images))
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % STRIDES[-1], 0, -height % STRIDES[-1]))
        patch, stride = self._levels.patch, self.pyramid.stride
        if patch != stride:
            size = [side // stride * patch for side in images.shape[-2:]]
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        (features,) = self._levels.read(self.model, images)
        levels = zip(STRIDES, self.pyramid(features))
        return tuple(level[..., : -(-height // s), : -(-width // s)].contiguous() for s, level in levels)

    def init_weights(self) -> None:
        """Load what ``init_cfg`` names, or timm's own weights where ``pretrained``.

        Raises:
            InputError: if they cannot be had, or lack a weight of this backbone; it names the first ones.
        """
        if self.pretrained and not self.init_cfg:
            source, state = f"of timm's {self.model_name}", hub_state(self.model_name, self._options)
            left_out = frozenset(state)
        else:
            found = pretrained_state(self.init_cfg)
            if found is None:
                return
            source, state = found
            with torch.device("meta"):
                whole = build_timm(self.model_name, self._options, with_classifier=True)
            left_out = frozenset(whole.state_dict())
            state = to_timm_names(state, whole)
        load_whole(self.model, state, source, left_out=left_out)
        trained = self.model.pretrained_cfg
        mean, std = ([round(255 * value, 3) for value in trained[key]] for key in ("mean", "std"))
        print_log(
            f"timm trained {self.model_name} with model.data_preprocessor.mean={mean}, std={std}, bgr_to_rgb=True",
            logger="current",
        )

    def train(self, mode: bool = True) -> TimmBackbone:
        super().train(mode)
        hold_still(self, map(self.model.get_submodule, self._frozen_parts), norm_eval=self.norm_eval)
        return self

    def parameter_depths(self) -> tuple[dict[str, int], int]:
        """Depth of each parameter of timm's model, by name, and how many depths there are; the pyramid's have none."""
        depths = self._depths()
        return {f"model.{name}": depth for name, depth in depths.items()}, max(depths.values()) + 1

    def _depths(self) -> dict[str, int]:
        return depths_by_timm(self.model) or depths_by_children(self.model)


def _parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, part) for name, part in model.named_modules() if name]
