"""Fine-tuning as it was when the study published-size began: with a mean of the weights, which is what is validated."""

_base_ = ["finetune_mobilenetv2.py", "weight_mean.py"]

param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], "begin": 0}]
custom_hooks = [_base_.weight_mean, *_base_.custom_hooks]
