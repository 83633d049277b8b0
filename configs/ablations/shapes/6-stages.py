_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(share=(0,) * 6, adaptive_groups=(1, 1, 1, 2, 2, 2))))
