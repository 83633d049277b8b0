_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(share=(0,) * 2, adaptive_groups=(1, 2))))
