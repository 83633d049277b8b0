"""The MMDetection plugin: importing it registers everything."""

from lors_det.plugin import compat, packaged, pretrained, safe_loading

compat.apply()
safe_loading.register()
pretrained.register()
packaged.register()

# after compat, which lets mmdet import without mmcv's compiled operations
from lors_det.plugin import (  # noqa: E402
    checkpoint_guard,
    criterion,
    data_guard,
    dataset,
    folding,
    head,
    neck,
    optimizer,
    plain_checkpoint,
)

__all__ = [
    "checkpoint_guard",
    "compat",
    "criterion",
    "data_guard",
    "dataset",
    "folding",
    "head",
    "neck",
    "optimizer",
    "packaged",
    "plain_checkpoint",
    "pretrained",
    "safe_loading",
]
