"""COCO 2017, mirrored half of the time, short side 480 to 800 pixels (long side at most 1333)."""

_base_ = "data_coco_1x.py"

train_dataloader = dict(dataset=dict(pipeline=_base_.mirrored_multi_scale))
