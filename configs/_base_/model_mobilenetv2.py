"""MobileNetV2 with ImageNet weights, 2.2 million parameters in front of the neck: detectors for a CPU."""

_base_ = "model_r50.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="TorchvisionBackbone",
        model_name="mobilenet_v2",
        frozen_stages=1,
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://mobilenet_v2"),
    ),
    neck=dict(in_channels=[24, 32, 96, 1280], out_channels=96, num_norm_groups=16),
    bbox_head=dict(num_classes=None),
)
