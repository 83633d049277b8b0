"""AdamW from a pretrained backbone: its first layers move least; the data chooses epochs, and when the rate falls."""

_base_ = "schedule_scratch.py"

optim_wrapper = dict(
    constructor="MergedOptimWrapperConstructor",
    paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.1)}, norm_decay_mult=0.0, bias_decay_mult=0.0),
)
# None: after a third of the epochs
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], "begin": None}]
train_cfg = dict(max_epochs=None, val_interval=None)
auto_scale_lr = dict(_delete_=True, enable=False, base_batch_size=4)
