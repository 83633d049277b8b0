_base_ = ["../../finetune/lors-adamixer_mobilenetv2_100-query_finetune_own.py", "../../_base_/weight_mean.py"]

train_dataloader = dict(batch_size=4)
custom_hooks = [_base_.weight_mean, *_base_.custom_hooks]
train_cfg = dict(max_epochs=12, val_interval=12)
