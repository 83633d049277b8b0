"""The MMDetection plugin: importing it registers everything. The only package that knows mm* libraries."""

from lors_det.plugin import compat, pretrained

compat.apply()
pretrained.register()

# after compat, which lets mmdet import without mmcv's compiled operations
from lors_det.plugin import checkpoints, criterion, dataset, head, neck  # noqa: E402

__all__ = ["checkpoints", "compat", "criterion", "dataset", "head", "neck", "pretrained"]
