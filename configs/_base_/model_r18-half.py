"""Half-width ResNet-18 with GroupNorm, to be trained from scratch on two CPU cores."""

_norm = dict(type="GN", num_groups=8, requires_grad=True)

model = dict(
    type="SingleStageDetector",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(
        type="ResNet",
        depth=18,
        base_channels=32,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=_norm,
        norm_eval=False,
        style="pytorch",
        zero_init_residual=False,
    ),
    neck=dict(type="SharedNormNeck", in_channels=[32, 64, 128, 256], out_channels=96, num_norm_groups=16),
    bbox_head=dict(type="AdaMixerHead", num_classes=None),
)
