"""The MMDetection plugin: importing it registers everything. The only package that knows mm* libraries."""

from lors_det.plugin import compat, packaged, pretrained

compat.apply()
pretrained.register()
packaged.register()

# after compat, which lets mmdet import without mmcv's compiled operations
from lors_det.plugin import checkpoints, criterion, data_guard, dataset, head, neck, optimizer  # noqa: E402

__all__ = [
    "checkpoints",
    "compat",
    "criterion",
    "data_guard",
    "dataset",
    "head",
    "neck",
    "optimizer",
    "packaged",
    "pretrained",
]
