"""The MMDetection plugin: importing it registers everything."""

from lors_det.plugin import activation_checkpointing, compat, norm_folding
from lors_det.plugin.config import packaged
from lors_det.plugin.saving import pretrained, safe_loading

compat.apply()
safe_loading.register()
pretrained.register()
activation_checkpointing.register()
norm_folding.register()
packaged.register()

# after compat, which lets mmdet import without mmcv's compiled operations
from lors_det.plugin import backbones, criterion, dataset, head, hooks, loop, neck, optimizer  # noqa: E402
from lors_det.plugin.saving import checkpoint_guard, checkpoint_hook, plain_checkpoint  # noqa: E402
from lors_det.plugin.screen import trackers  # noqa: E402

__all__ = [
    "activation_checkpointing",
    "backbones",
    "checkpoint_guard",
    "checkpoint_hook",
    "compat",
    "criterion",
    "dataset",
    "head",
    "hooks",
    "loop",
    "neck",
    "norm_folding",
    "optimizer",
    "packaged",
    "plain_checkpoint",
    "pretrained",
    "safe_loading",
    "trackers",
]
