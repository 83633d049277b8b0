_base_ = ["../lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py", "../_base_/weight_mean.py"]

model = dict(bbox_head=dict(query_start="grid"))
custom_hooks = [_base_.weight_mean]
