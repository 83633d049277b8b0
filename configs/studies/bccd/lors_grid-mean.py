_base_ = ["../../ablations/bccd/lors.py", "../../_base_/weight_mean.py"]

model = dict(bbox_head=dict(query_start="grid"))
custom_hooks = [_base_.weight_mean]
