"""COCO 2017, mirrored half of the time; then multi-scale 480 to 800, or the same after a random crop."""

_base_ = "data_coco_1x.py"

train_dataloader = dict(dataset=dict(pipeline=_base_.mirrored_crop_multi_scale))
