"""torchvision's classification models as backbones: MobileNet, EfficientNet, ConvNeXt and what is built like them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import torch
import torchvision
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from lors_det.errors import InputError
from lors_det.plugin.backbones.freezing import check_frozen_stages, hold_still
from lors_det.plugin.backbones.weights import STRIDES, load_whole, pretrained_state

_KEY = "model.backbone"
_PROBE_HW = (64, 128)
"""Height and width of the input by which strides are found: the least that stride 32 leaves two pixels of."""


@MODELS.register_module()
class TorchvisionBackbone(BaseModule):
    """``features`` of a classification model of torchvision, read at strides 4, 8, 16 and 32.

    Weights have torchvision's own names, so that torchvision's files load as they are:
    ``init_cfg=dict(type="Pretrained", checkpoint="torchvision://mobilenet_v2")``, or a file's path. Those of the
    classifier are left out. Without ``init_cfg`` it starts from torchvision's random weights.

    It subclasses ``BaseModule`` because mmengine's ``init_weights`` is where weights are loaded.

    Attributes:
        out_channels: channels of the four levels, what the neck's ``in_channels`` must be.

    Args:
        model_name: of ``torchvision.models.list_models()``, a model that has ``features``.
        out_features: places in ``features`` whose outputs are the levels; by default the last of each stride, which
            is (3, 6, 13, 18) of ``mobilenet_v2``. What comes after the last is not built.
        frozen_stages: -1: every part learns; 0: the first module does not; n: neither does anything up to level n.
        norm_eval: BatchNorms keep the statistics that they were loaded with.
        init_cfg: None, or ``dict(type="Pretrained", checkpoint=...)``.

    Raises:
        InputError: if torchvision has no such model, it has no ``features``, or no levels at these strides.
    """

    def __init__(
        self,
        model_name: str = "mobilenet_v2",
        *,
        out_features: Sequence[int] | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = True,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        whole = _build(model_name)
        sizes = _probe(whole.features)
        self.out_features = _places(model_name, sizes, out_features)
        self.out_channels = tuple(sizes[place][1] for place in self.out_features)
        self.features: nn.Sequential = whole.features[: self.out_features[-1] + 1]
        self._left_out = frozenset(whole.state_dict()) - frozenset(self.state_dict())
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        check_frozen_stages(frozen_stages, len(STRIDES))
        for place in self.out_features[:-1]:  # a level must stay as the next module found it
            following: Any = self.features[place + 1]
            if getattr(following, "inplace", False):
                following.inplace = False
        self.train()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, H, W) to levels (B, out_channels[l], H / s_l, W / s_l), s = 4, 8, 16, 32."""
        images = _channels_last_on_a_cpu(images)
        levels = []
        for place, module in enumerate(self.features):
            images = module(images)
            if place in self.out_features:
                levels.append(images)
        return tuple(levels)

    def init_weights(self) -> None:
        """Load what ``init_cfg`` names.

        Raises:
            InputError: if it lacks a weight of this backbone; it names the first ones.
        """
        found = pretrained_state(self.init_cfg)
        if found is not None:
            source, state = found
            load_whole(self, state, source, left_out=self._left_out)

    def train(self, mode: bool = True) -> TorchvisionBackbone:
        super().train(mode)
        num_frozen = [0, 1, *(place + 1 for place in self.out_features)][self.frozen_stages + 1]
        hold_still(self, self.features[:num_frozen], norm_eval=self.norm_eval)
        return self

    def parameter_depths(self) -> tuple[dict[str, int], int]:
        """Depth of each parameter, by name, and how many depths there are: the place in ``features``."""
        return {name: int(name.split(".")[1]) for name, _ in self.named_parameters()}, len(self.features)


def _channels_last_on_a_cpu(images: Tensor) -> Tensor:
    """Where convolutions of few channels, and norms, are faster so."""
    return images.contiguous(memory_format=torch.channels_last) if images.device.type == "cpu" else images


torch.fx.wrap("_channels_last_on_a_cpu")  # a device is none while torch.fx writes down the computation


def _build(model_name: str) -> Any:
    known = torchvision.models.list_models(torchvision.models)
    if model_name not in known:
        near = ", ".join(get_close_matches(str(model_name), known)) or "none"
        raise InputError(f"config key {_KEY}.model_name is {model_name!r}; similar names of torchvision: {near}")
    whole = torchvision.models.get_model(model_name, weights=None)
    if not isinstance(getattr(whole, "features", None), nn.Sequential):
        raise InputError(
            f"config key {_KEY}.model_name is {model_name!r}, which has no `features` to read levels from; "
            "mobilenet_*, efficientnet_* and convnext_* have; ResNet and Swin are backbones of mmdet"
        )
    return whole


def _probe(features: nn.Sequential) -> list[tuple[int | None, int]]:
    """(stride, channels) after each module; a stride of None where the output is no picture of the input."""
    height, width = _PROBE_HW
    found: list[tuple[int | None, int]] = []
    was_training = features.training
    features.eval()
    with torch.no_grad():
        values = torch.zeros(1, 3, height, width, device=next(features.parameters()).device)
        for module in features:
            values = module(values)
            across, down = (size / have if have else 0 for size, have in zip((width, height), values.shape[:1:-1]))
            stride = int(down) if values.ndim == 4 and across == down == int(down) else None
            found.append((stride, values.shape[1]))
    features.train(was_training)
    return found


def _places(
    model_name: str, sizes: Sequence[tuple[int | None, int]], out_features: Sequence[int] | None
) -> tuple[int, ...]:
    strides = [stride for stride, _ in sizes]
    if out_features is None:
        lacking = [stride for stride in STRIDES if stride not in strides]
        if lacking:
            raise InputError(
                f"config key {_KEY}.model_name is {model_name!r}, of which no module has stride {lacking[0]}; strides "
                f"after its modules (None: no picture, or channels last): {strides}"
            )
        return tuple(len(strides) - 1 - strides[::-1].index(stride) for stride in STRIDES)
    if (
        not all(isinstance(place, int) and 0 <= place < len(strides) for place in out_features)
        or tuple(strides[place] for place in out_features) != STRIDES
    ):
        raise InputError(
            f"config key {_KEY}.out_features is {list(out_features)}; it must name modules of strides {STRIDES}. "
            f"Strides after modules 0 to {len(strides) - 1} of {model_name}: {strides}"
        )
    return tuple(out_features)
