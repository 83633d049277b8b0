"""ResNeXt-101 32x4d with deformable convolutions in its last three stages."""

_base_ = "model_r50.py"

model = dict(
    backbone=dict(
        type="ResNeXt",
        depth=101,
        groups=32,
        base_width=4,
        dcn=dict(type="DCN", deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
        init_cfg=dict(checkpoint="open-mmlab://resnext101_32x4d"),
    )
)
