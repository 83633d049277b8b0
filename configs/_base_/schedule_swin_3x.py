"""3x for Swin: a longer warm-up, and no weight decay on position tables and norms, those of neck and decoder too."""

_base_ = "schedule_3x.py"

optim_wrapper = dict(
    constructor="MergedOptimWrapperConstructor",
    paramwise_cfg=dict(
        custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0)),
        norm_decay_mult=0.0,
    ),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type="MultiStepLR", by_epoch=True, begin=0, milestones=[24, 33], gamma=0.1),
]
