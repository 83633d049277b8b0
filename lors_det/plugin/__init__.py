"""The MMDetection plugin: importing it registers everything."""

from lors_det.plugin import compat, packaged, pretrained, safe_loading

compat.apply()
safe_loading.register()
pretrained.register()
packaged.register()

# after compat, which lets mmdet import without mmcv's compiled operations
from lors_det.plugin import (  # noqa: E402
    backbones,
    checkpoint_guard,
    criterion,
    data_guard,
    dataset,
    early_stopping,
    folding,
    gentle_finish,
    head,
    neck,
    optimizer,
    plain_checkpoint,
    trackers,
)

__all__ = [
    "backbones",
    "checkpoint_guard",
    "compat",
    "criterion",
    "data_guard",
    "dataset",
    "early_stopping",
    "folding",
    "gentle_finish",
    "head",
    "neck",
    "optimizer",
    "packaged",
    "plain_checkpoint",
    "pretrained",
    "safe_loading",
    "trackers",
]
