"""Half-width ResNet-18 with GroupNorm, to be trained from scratch on two CPU cores."""

_base_ = "model_r50.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="ResNet",
        depth=18,
        base_channels=32,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type="GN", num_groups=8, requires_grad=True),
        norm_eval=False,
        style="pytorch",
        zero_init_residual=False,
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=96, num_norm_groups=16),
    bbox_head=dict(num_classes=None),
)
