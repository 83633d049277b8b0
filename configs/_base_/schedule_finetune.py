"""AdamW from a pretrained backbone: its first layers move least; a cosine over epochs chosen from the data."""

_base_ = "schedule_scratch.py"

optim_wrapper = dict(
    constructor="MergedOptimWrapperConstructor",
    paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}, norm_decay_mult=0.0, bias_decay_mult=0.0),
)
train_cfg = dict(max_epochs=None, val_interval=None)
auto_scale_lr = dict(_delete_=True, enable=False, base_batch_size=4)
