_base_ = ["../../finetune/lors-adamixer_mobilenetv2_100-query_finetune_own.py", "../../_base_/weight_mean.py"]

custom_hooks = [_base_.weight_mean, *_base_.custom_hooks]
