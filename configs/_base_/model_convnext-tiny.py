"""ConvNeXt-T of timm with ImageNet weights; the leaf names queries and decoder."""

_base_ = "model_r50.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="TimmBackbone",
        model_name="convnext_tiny",
        frozen_stages=1,
        drop_path_rate=0.1,
        pretrained=True,
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
    bbox_head=dict(num_classes=None),
)
