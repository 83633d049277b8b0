_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(adaptive_groups=(3, 3, 2, 2, 1, 1))))
