_base_ = ["../../_base_/finetune_mobilenetv2.py", "../../_base_/weight_mean.py"]

train_dataloader = dict(batch_size=4)
custom_hooks = [_base_.weight_mean, *_base_.custom_hooks]
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], "begin": 0}]
train_cfg = dict(max_epochs=12, val_interval=12)
