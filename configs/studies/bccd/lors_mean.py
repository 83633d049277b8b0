_base_ = ["../../ablations/bccd/lors.py", "../../_base_/weight_mean.py"]

custom_hooks = [_base_.weight_mean]
