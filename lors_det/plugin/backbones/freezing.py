"""Parts of a backbone that do not learn, and norms that keep their statistics: mmdet's ResNet, for any backbone."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lors_det.errors import InputError


def check_frozen_stages(frozen_stages: int, num_stages: int) -> None:
    """Refuse a number of stages that there are not.

    Raises:
        InputError: if it is none of -1 (nothing is frozen), 0 (the stem is) to ``num_stages``.
    """
    if not isinstance(frozen_stages, int) or not -1 <= frozen_stages <= num_stages:
        raise InputError(
            f"config key model.backbone.frozen_stages is {frozen_stages!r}; it must be -1 (nothing is frozen), 0 (the "
            f"stem is), or up to {num_stages} (the stem and that many levels)"
        )


def hold_still(module: nn.Module, frozen: Iterable[nn.Module], *, norm_eval: bool) -> None:
    """To be called at construction and after every ``train()``.

    Parameters of ``frozen`` get no gradient; those modules stay in evaluation mode, so that running statistics stay
    and nothing is dropped by chance. With ``norm_eval``, so do all BatchNorms of ``module``, whose affine weights learn
    all the same.
    """
    for part in frozen:
        part.eval()
        part.requires_grad_(False)
    if norm_eval:
        for part in module.modules():
            if isinstance(part, _BatchNorm):
                part.eval()
