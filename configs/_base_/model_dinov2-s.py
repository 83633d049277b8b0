"""DINOv2's ViT-S/14 of timm, with a simple feature pyramid; the leaf names queries and decoder."""

_base_ = "model_r50.py"

model = dict(
    backbone=dict(_delete_=True, type="TimmBackbone", model_name="vit_small_patch14_dinov2", pretrained=True),
    neck=dict(in_channels=[96, 192, 384, 384]),
    bbox_head=dict(num_classes=None),
)
